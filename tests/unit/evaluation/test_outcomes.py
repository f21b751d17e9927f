import numpy as np
import pytest

from support.outcomes import EVERY, some_rows
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.outcomes import Classified, MultiLabelled, Outcome, Ragged, Scored


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_some_rows_of_an_outcome(outcome: Outcome) -> None:
    index = np.array([5, 2, 2])
    part = outcome.take(index)
    assert len(part) == 3
    assert np.array_equal(part.rows.ids, outcome.rows.ids[index])
    assert type(part) is type(outcome)


def test_what_does_not_fit_is_refused() -> None:
    rows = some_rows(3)
    with pytest.raises(InvalidArgument, match="truth"):
        Classified(rows, ("a", "b"), np.zeros((3, 2), np.float32), np.array([0, 1, 2]))
    with pytest.raises(InvalidArgument, match="logits"):
        Classified(rows, ("a", "b"), np.zeros((3, 3), np.float32), np.array([0, 1, 1]))
    with pytest.raises(InvalidArgument, match="entries"):
        Scored(rows, np.zeros(2), np.zeros(3))
    with pytest.raises(InvalidArgument, match="finite"):
        Scored(rows, np.array([0, np.nan, 1]), np.zeros(3))
    with pytest.raises(InvalidArgument, match="thresholds"):
        MultiLabelled(rows, ("a", "b"), np.zeros((3, 2), np.float32), np.zeros((3, 2), bool), thresholds=(0.5,))


@pytest.mark.parametrize("offsets", [[], [0, 2], [1, 3], [0, 3, 2, 3], [-1, 3]])
def test_entries_of_rows_lie_end_to_end(offsets: list[int]) -> None:
    with pytest.raises(InvalidArgument, match="offsets"):
        Ragged(np.array(offsets, np.int64), np.zeros((3, 1), np.int64))
    assert len(Ragged(np.array([0, 0, 3]), np.zeros((3, 1), np.int64))) == 2
