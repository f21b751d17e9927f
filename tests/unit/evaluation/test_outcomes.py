import numpy as np
import pytest

from support.outcomes import EVERY, some_rows
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.outcomes import Classified, MultiLabelled, Outcome, Scored


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
