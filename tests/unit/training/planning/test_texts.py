"""The report on a dataset that was made by hand, to the row."""

from collections.abc import Sequence

import numpy as np
import pytest

from symbiont.training.data.rows import Row
from symbiont.training.planning import remarks
from symbiont.training.planning.texts import LabelShare, Words, hashes, nearest_rank, repetition, report, shares
from symbiont.training.worker.task import Texts

TEXTS = ["a b", "a  b", "c", "d", "d", "d", "e", " f ", "f", "g"]
LABELS = ["x", "x", "x", "x", "y", "y", "x", "y", "z", "z"]


def test_what_occurs_more_than_once() -> None:
    found = repetition(TEXTS, LABELS)
    # "a b" twice, "d" three times, "f" twice; of these "d" and "f" with two labels.
    assert found.duplicate_fraction == pytest.approx(0.7)
    assert found.contradictory_count == 2
    alone = repetition(["a", "b"], ["x", "y"])
    assert (alone.duplicate_fraction, alone.contradictory_count) == (0, 0)
    assert hashes(["a b", "a \n b", "A b"]).tolist()[0] == hashes([" a b"])[0]
    assert hashes(["a b"])[0] != hashes(["A b"])[0]


def test_the_report() -> None:
    words = Words(
        (("en", 0.5), ("und", 0.2), ("zh", 0.1), ("fr", 0.08), ("de", 0.06), ("it", 0.04), ("es", 0.02)), 0.125
    )
    lengths = np.array([4, 8, 8, 9, 70, 3, 5, 5, 10, 2])
    found = report(10, lengths, 9, repetition(TEXTS, LABELS), words)
    assert found.row_count == 10
    assert found.mean_tokens == pytest.approx(12.4)
    assert (found.median_tokens, found.p95_tokens, found.max_tokens) == (5, 70, 70)
    # 10 and 70 are over 9.
    assert found.cut_fraction == pytest.approx(0.2)
    assert (found.duplicate_fraction, found.contradictory_count) == (pytest.approx(0.7), 2)
    assert found.unknown_fraction == 0.125
    # What is no language is left out; five are enough.
    assert found.languages == (("en", 0.5), ("zh", 0.1), ("fr", 0.08), ("de", 0.06), ("it", 0.04))


def test_ranks() -> None:
    ordered = np.arange(1, 101)
    assert [nearest_rank(ordered, p) for p in (1, 50, 95, 100)] == [1, 50, 95, 100]
    assert nearest_rank(np.array([7]), 50) == 7


def test_labels_in_the_order_of_the_spec() -> None:
    assert shares(["z", "w", "x"], ["x", "z", "x", "x"]) == (
        LabelShare("z", 1, 0.25),
        LabelShare("w", 0, 0.0),
        LabelShare("x", 3, 0.75),
    )


def texts_of(texts: Sequence[str], labels: Sequence[str]) -> Texts:
    return Texts([Row(text, label) for text, label in zip(texts, labels, strict=True)])


def test_what_is_said_of_the_rows() -> None:
    kept, held = texts_of(TEXTS[:7], LABELS[:7]), texts_of(["d", "new", " c"], ["x", "x", "y"])
    said = [*remarks.of_repetition(repetition(TEXTS, LABELS), 10), *remarks.of_leaks(kept, held)]
    assert [warning.code for warning in said] == ["TEXTS_REPEATED", "LABELS_CONTRADICT", "ROWS_LEAKED"]
    assert "70% of the 10 texts" in said[0].text
    assert "2 texts occur with more than one label" in said[1].text
    assert "2 of the 3 held-out texts (66.7%)" in said[2].text
    assert [*remarks.of_repetition(repetition(["a", "b"], ["x", "y"]), 2)] == []
    assert [*remarks.of_leaks(kept, texts_of(["new"], ["x"]))] == []
    (unseen,) = remarks.of_labels_unseen(["x", "y", "v", "w"], kept)
    assert "'v' and 1 more" in unseen.text
    assert [*remarks.of_labels_unseen(["x", "y"], kept)] == []


def test_what_is_said_of_the_plan_itself() -> None:
    said = [*remarks.of_sample(10, 100), *remarks.of_ranks(4, 2), *remarks.of_company(1)]
    said += remarks.of_place(elsewhere=True)
    assert [warning.code for warning in said] == ["SAMPLED", "RANKS_ASSUMED", "BESIDE_JOBS", "TRIED_ELSEWHERE"]
    assert [*remarks.of_sample(10, 10), *remarks.of_ranks(1, 2), *remarks.of_company(0)] == []
    assert [*remarks.of_place(elsewhere=False)] == []
