"""What trials train, and how they are known again."""

import pytest

from symbiont.advisor.trials import check_study, methods_of, raced, rung, steps_of, trial_of
from symbiont.api.training.v1.dataset_pb2 import Dataset
from symbiont.client import training_spec

SPEC = training_spec(base_model="tiny", dataset="rows", model="mood")


def test_a_request_id_follows_from_study_name_and_content() -> None:
    first = trial_of("study", "lora", SPEC)
    assert first.request_id.startswith("study/lora-")
    assert trial_of("study", "lora", training_spec(base_model="tiny", dataset="rows", model="mood")) == first
    others = [
        trial_of("other", "lora", SPEC),
        trial_of("study", "full", SPEC),
        trial_of("study", "lora", training_spec(base_model="tiny", dataset="rows", model="mood", epochs=4)),
    ]
    assert len({first.request_id, *(one.request_id for one in others)}) == 4
    assert len(trial_of("a" * 63, "head-only-seed-4294967295", SPEC).request_id) <= 128


def test_a_rung_keeps_the_settings_of_its_own_method() -> None:
    spec = training_spec(base_model="tiny", dataset="rows", model="mood", method="lora", rank=4, epochs=2)
    assert rung(spec, "lora").lora.rank == 4
    full = rung(spec, "full", seed=7)
    assert full.WhichOneof("method") == "full"
    assert (full.hyperparameters.epochs, full.hyperparameters.seed) == (2, 7)
    assert spec.WhichOneof("method") == "lora"


def test_methods_in_the_usual_order_of_cost() -> None:
    assert methods_of([]) == ["head_only", "lora", "houlsby", "adalora", "full"]
    assert methods_of(["full", "prefix", "head-only", "full"]) == ["head_only", "prefix", "full"]
    with pytest.raises(ValueError, match=r"there is no method 'lore': head-only, bitfit, lora"):
        methods_of(["lore"])


def test_a_trial_is_judged_by_what_says_most_at_a_dozen_checkpoints() -> None:
    made = raced(SPEC, Dataset(row_count=2000)).hyperparameters
    # 1600 rows to learn from, 16 a step, three times.
    assert made.checkpoint_interval == 300 // 12
    assert (made.patience, made.keep_best, made.evaluate_checkpoints, made.selection_metric) == (
        3,
        True,
        True,
        "primary",
    )
    given = training_spec(
        base_model="tiny",
        dataset="rows",
        model="mood",
        patience=9,
        keep_best=False,
        selection_metric="macro_f1",
        checkpoint_interval=7,
    )
    kept = raced(given, Dataset(row_count=2000)).hyperparameters
    assert (kept.patience, kept.keep_best, kept.selection_metric, kept.checkpoint_interval) == (9, False, "macro_f1", 7)
    assert raced(SPEC, Dataset(row_count=4)).hyperparameters.checkpoint_interval == 1


def test_steps_of_a_spec() -> None:
    judged_apart = training_spec(
        base_model="tiny", dataset="rows", model="mood", evaluation_dataset="held", batch_size=8, epochs=2
    )
    assert steps_of(judged_apart, 100) == 26
    judged_apart.hyperparameters.accumulation_steps = 2
    assert steps_of(judged_apart, 100) == 14


@pytest.mark.parametrize("name", ["", "Study", "1st", "a b", "a/b", "a" * 64])
def test_names_of_studies(name: str) -> None:
    with pytest.raises(ValueError, match="--study"):
        check_study(name)
    assert check_study("mood-advice") == "mood-advice"
