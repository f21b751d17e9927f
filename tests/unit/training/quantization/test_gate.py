"""Which bundles may be computed in int8, by what was measured."""

from itertools import pairwise

import numpy as np
import pytest

from symbiont.training.quantization.gate import LEAST_ROWS, MOST_ROWS, decide, in_words, spread

DIGEST = "d" * 64


def _logits(labels: "np.ndarray", count: int = 2) -> "np.ndarray":
    return np.eye(count, dtype=np.float32)[labels]


def _decide(rows: int, changed: int, mended: int = 0):
    """So many rows, all right in fp32 but the last `mended`; int8 changes the first ones, and mends the last."""
    truth = np.arange(rows) % 2
    exact = truth.copy()
    exact[rows - mended :] ^= 1
    rounded = exact.copy()
    rounded[:changed] ^= 1
    rounded[rows - mended :] = truth[rows - mended :]
    return decide(DIGEST, _logits(exact), _logits(rounded), truth)


@pytest.mark.parametrize(
    ("rows", "changed", "mended", "allowed"),
    [
        (2000, 0, 0, True),
        # As much as is allowed: 0.3 points of accuracy.
        (2000, 6, 0, True),
        (2000, 7, 0, False),
        # The accuracy stays, but half a percent of labels and one more are others.
        (2000, 5, 5, True),
        (2000, 6, 5, False),
        (LEAST_ROWS, 0, 1, True),
        (LEAST_ROWS, 1, 0, False),
        # Nothing is other, but too little was looked at.
        (LEAST_ROWS - 1, 0, 0, False),
        (1, 0, 0, False),
    ],
)
def test_labels_must_stay_and_accuracy_must_not_fall(rows: int, changed: int, mended: int, allowed: bool) -> None:
    found = _decide(rows, changed, mended)
    assert found.allowed is allowed
    assert (found.quantized_digest, found.rows) == (DIGEST, rows)
    assert found.agreement == pytest.approx(1 - (changed + mended) / rows)
    assert found.metric_change == pytest.approx((mended - changed) / rows)


def test_without_rows_it_is_not_allowed() -> None:
    empty = np.empty((0, 2), np.float32)
    found = decide(DIGEST, empty, empty, np.empty(0, np.int64))
    assert (found.rows, found.allowed) == (0, False)


def test_answers_that_are_not_finite_are_not_allowed() -> None:
    truth = np.zeros(500, np.int64)
    broken = _logits(truth)
    broken[3, 1] = -np.inf
    assert not decide(DIGEST, _logits(truth), broken, truth).allowed


def test_it_is_said_in_words() -> None:
    assert in_words(_decide(2000, 7)) == "int8 is not allowed: 99.65% of 2000 rows keep their label, accuracy -0.35%"
    assert in_words(_decide(10, 0)).endswith("at least 200 rows are needed")


def test_rows_are_spread_evenly() -> None:
    assert spread(5, 10) == [0, 1, 2, 3, 4]
    many = spread(9_999, MOST_ROWS)
    assert len(set(many)) == MOST_ROWS
    assert {later - earlier for earlier, later in pairwise(many)} <= {4, 5}
