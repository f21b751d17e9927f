"""The moving average against its formula, worked out another way."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.cli.curves.smoothing import smoothed

Values = st.lists(st.floats(-1e6, 1e6), max_size=20)
Weights = st.floats(0, 0.99)


@given(Values, Weights)
def test_it_is_the_mean_of_what_came_before_weighted_by_its_age(values: list[float], weight: float) -> None:
    for n, found in enumerate(smoothed(values, weight)):
        weights = [weight ** (n - i) for i in range(n + 1)]
        expected = sum(w * v for w, v in zip(weights, values, strict=False)) / sum(weights)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-3)


def test_numbers_by_hand() -> None:
    # 1; (0.5 * 1 + 3) / 1.5; (0.25 * 1 + 0.5 * 3 + 5) / 1.75
    assert smoothed([1, 3, 5], 0.5) == pytest.approx([1, 7 / 3, 27 / 7])


@given(Values)
def test_no_weight_changes_nothing(values: list[float]) -> None:
    assert smoothed(values, 0) == pytest.approx(values)


def test_a_constant_stays_and_what_is_not_finite_counts_for_nothing() -> None:
    assert smoothed([2.0] * 50, 0.95) == pytest.approx([2.0] * 50)
    found = smoothed([1, math.inf, 3, math.nan, 5], 0.5)
    assert found[::2] == pytest.approx(smoothed([1, 3, 5], 0.5))
    assert math.isinf(found[1])
    assert math.isnan(found[3])


@pytest.mark.parametrize("weight", [-0.1, 1.0, 1.5, math.nan])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="not at least 0 and below 1"):
        smoothed([1.0], weight)
