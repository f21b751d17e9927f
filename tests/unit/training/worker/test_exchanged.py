"""Exchanged labels are told from poor versions, from few rows and from rows that have changed."""

import numpy as np
import pytest
import torch

from symbiont.common.errors import InvalidArgument
from symbiont.training.heads.entities import SKIP
from symbiont.training.worker.exchanged import check_labels, exchanged

LABELS = ("a", "b", "c")


def found(pairs: list[tuple[int, int, int]]) -> list[tuple[str, str]]:
    """Returns what is found of (truth, said, rows)."""
    truth = np.repeat([t for t, _, _ in pairs], [n for _, _, n in pairs])
    said = np.repeat([s for _, s, _ in pairs], [n for _, _, n in pairs])
    return [(each.given, each.held_for) for each in exchanged(truth, said, LABELS)]


def test_two_labels_that_changed_places() -> None:
    assert found([(0, 1, 18), (0, 0, 2), (1, 0, 18), (1, 1, 2), (2, 2, 20)]) == [("a", "b"), ("b", "a")]


def test_a_ring() -> None:
    assert found([(0, 1, 20), (1, 2, 20), (2, 0, 20)]) == [("a", "b"), ("b", "c"), ("c", "a")]


@pytest.mark.parametrize(
    "pairs",
    [
        # Right; one label only; all held for one, as by a version that knows nothing else; hardly a majority; few rows;
        # labels that the version does not know.
        [(0, 0, 20), (1, 1, 20)],
        [(0, 1, 20), (1, 1, 20)],
        [(0, 2, 20), (1, 2, 20), (2, 2, 20)],
        [(0, 1, 11), (0, 0, 9), (1, 0, 11), (1, 1, 9)],
        [(0, 1, 4), (1, 0, 4)],
        [(3, 1, 20), (4, 0, 20)],
    ],
)
def test_what_is_no_exchange(pairs: list[tuple[int, int, int]]) -> None:
    assert found(pairs) == []


def logits(said: list[int], width: int = 3) -> list[np.ndarray]:
    return [np.eye(width, dtype=np.float32)[place] for place in said]


def test_labels_that_each_hold_are_looked_at_where_one_does() -> None:
    targets = torch.tensor([[1.0, 0, 0]] * 10 + [[0, 1.0, 0]] * 10 + [[1.0, 1.0, 0]] * 50)
    with pytest.raises(InvalidArgument, match="10 of 10 rows of 'a' for 'b'; 10 of 10 rows of 'b' for 'a'") as caught:
        check_labels("multi_label", LABELS, logits([1] * 10 + [0] * 10 + [0] * 50), targets, "models/m/versions/1")
    assert caught.value.field == "spec.dataset"
    check_labels("multi_label", LABELS, logits([0] * 10 + [1] * 10 + [2] * 50), targets, "models/m/versions/1")


def test_tags_of_words_are_looked_at_where_there_are_any() -> None:
    tags = ("O", "B-x", "I-x", "B-y", "I-y")
    targets = torch.tensor([[SKIP, 1, 3, SKIP]] * 10)
    swapped = [np.stack(logits([0, 3, 1], 5))] * 10
    with pytest.raises(InvalidArgument, match="look exchanged"):
        check_labels("entities", tags, swapped, targets, "models/m/versions/1")
    check_labels("entities", tags, [np.stack(logits([0, 1, 3], 5))] * 10, targets, "models/m/versions/1")
