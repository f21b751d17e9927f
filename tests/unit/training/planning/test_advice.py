"""What to train: a head alone where it is enough or nothing else can be learnt, else LoRA; and why, by numbers."""

from pathlib import Path

import numpy as np
import pytest

from support.registry import tiny_spec
from symbiont.training.planning.advice import Comparison, advise, head_accuracy, rank_for, usual_share
from symbiont.training.planning.memory import GIB, available_memory, estimate_memory, of_memory
from symbiont.training.spec import HeadOnlyMethod, LoraMethod

SPEC = tiny_spec(lora={"rank": 2, "alpha": 4.0, "target_modules": ["query"]})


def clouds(count: int, distance: float, seed: int) -> tuple[np.ndarray, list[str]]:
    """Points around three centres, their labels in turn."""
    random = np.random.default_rng(seed)
    which = np.arange(count) % 3
    return (random.normal(size=(count, 8)) + distance * np.eye(8)[which]).astype(np.float32), [f"l{n}" for n in which]


def test_a_head_tells_apart_what_lies_apart() -> None:
    for distance, low, high in ((8.0, 0.99, 1.0), (0.0, 0.2, 0.47)):
        accuracy = head_accuracy(*clouds(300, distance, 0), *clouds(300, distance, 1))
        assert low <= accuracy <= high


def test_a_head_that_gets_all_right_is_enough() -> None:
    advice = advise(SPEC, 5000, 2, Comparison(0.985, 0.5, 300, 200), 61.0)
    assert advice.method == HeadOnlyMethod()
    said = " ".join(advice.reasons)
    for number in ("98.5%", "300 rows", "200 held-out", "50.0%", "61 s"):
        assert number in said


def test_a_head_that_does_not_leaves_something_to_win() -> None:
    advice = advise(SPEC, 5000, 2, Comparison(0.75, 0.5, 300, 200), 61.0)
    assert advice.method == LoraMethod(rank=8, alpha=16.0, target_modules=("query",))
    assert "25.0%" in advice.reasons[1]
    assert "Rank 8 suits 5000 rows" in advice.reasons[-1]


def test_few_rows_are_learnt_by_heart() -> None:
    advice = advise(SPEC, 30, 6, None, 1.0)
    assert advice.method == HeadOnlyMethod()
    assert advice.reasons == ("30 rows for 6 labels are 5.0 a label: an adapter would learn them by heart.",)


def test_without_a_comparison_rows_decide() -> None:
    advice = advise(tiny_spec(head_only={}), 400, 2, None, 1.0)
    assert advice.method == LoraMethod(rank=4, alpha=8.0)
    assert all("held-out" not in reason for reason in advice.reasons)


@pytest.mark.parametrize(
    ("rows", "labels", "rank"), [(20, 2, 4), (500, 2, 8), (10_000, 50, 16), (10_000, 51, 32), (10**6, 2, 32)]
)
def test_ranks_follow_from_rows_and_labels(rows: int, labels: int, rank: int) -> None:
    assert rank_for(rows, labels) == rank


def test_the_most_frequent_label() -> None:
    assert usual_share(["a", "a", "b", "c"]) == 0.5


def test_what_the_most_frequent_label_gets_right_is_no_merit_of_the_head() -> None:
    assert not Comparison(0.98, 0.97, 300, 200).saturated
    assert not Comparison(1.0, 1.0, 300, 200).saturated
    assert Comparison(0.996, 0.97, 300, 200).saturated
    assert not Comparison(0.96, 0.5, 300, 200).saturated


def test_memory() -> None:
    found = estimate_memory(2.0 * GIB, 0.5 * GIB, 1.0 * GIB)
    assert found.value == 3.5 * GIB
    assert found.low < 3.0 * GIB < 4.0 * GIB < found.high
    assert of_memory(found, 8.0 * GIB, 1) is None
    warning = of_memory(found, 8.0 * GIB, 2)
    assert warning is not None
    assert (warning.code, "8.0 GiB are free" in warning.text) == ("MEMORY_SHORT", True)


def test_a_container_has_less_than_its_machine(tmp_path: Path) -> None:
    free = available_memory(tmp_path)
    assert free > 0
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    assert available_memory(tmp_path) == 2000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) == pytest.approx(free, rel=0.5)
