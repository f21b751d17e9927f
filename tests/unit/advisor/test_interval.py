"""Intervals against SciPy's."""

import pytest
from scipy.stats import binomtest

from symbiont.advisor.interval import half_width, interval_of, wilson


@pytest.mark.parametrize(("right", "rows"), [(0, 10), (10, 10), (350, 400), (1, 1000)])
def test_wilson_is_scipys(right: int, rows: int) -> None:
    expected = binomtest(right, rows).proportion_ci(0.95, method="wilson")
    assert wilson(right / rows, rows) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_only_shares_of_rows_have_an_interval() -> None:
    assert interval_of("accuracy", 0.5, 100) == wilson(0.5, 100)
    assert interval_of("spearman", 0.5, 100) is None
    assert interval_of("accuracy", 0.5, 0) is None


def test_how_far_chance_moves_a_figure() -> None:
    assert half_width(0.5, 100) == pytest.approx(0.096, abs=0.001)
    assert half_width(0.5, 0) == 0.0
    # A correlation may be below 0.
    assert half_width(-0.4, 100) == half_width(0.0, 100)
