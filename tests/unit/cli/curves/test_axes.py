"""Axes: round ticks, and where values stand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.cli.curves.axes import Axis, step_axis, value_axis


def labels(axis: Axis, most: int = 6) -> list[str]:
    return [tick.label for tick in axis.ticks(most)]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis(0, 1.1), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Axis(0, 400), ["0", "100", "200", "300", "400"]),
        (Axis(0, 12_345), ["0", "5,000", "10,000"]),
        (Axis(0, 0.001), ["0", "0.0002", "0.0004", "0.0006", "0.0008", "0.0010"]),
        (Axis(0, 0.000025), ["0", "5e-06", "1.0e-05", "1.5e-05", "2.0e-05", "2.5e-05"]),
        (Axis(-0.3, 0.3), ["-0.2", "0", "0.2"]),
        (Axis(0.01, 2, log=True), ["0.01", "0.03", "0.1", "0.3", "1"]),
        (Axis(0.04, 1.2, log=True), ["0.05", "0.1", "0.2", "0.5", "1"]),
        (Axis(1e-6, 2e6, log=True), ["1e-06", "0.001", "1", "1,000", "1e+06"]),
        # Less than a decade.
        (Axis(0.42, 0.48, log=True), ["0.42", "0.44", "0.46", "0.48"]),
    ],
)
def test_ticks_are_round(axis: Axis, expected: list[str]) -> None:
    assert labels(axis) == expected


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e6), st.integers(3, 12))
def test_ticks_are_few_inside_evenly_apart_and_told_apart(low: float, span: float, most: int) -> None:
    axis = Axis(low, low + span)
    ticks = axis.ticks(most)
    # A step is at most 2.5 times the next one, and one tick may just be missed at each end.
    assert most / 2.5 - 2 <= len(ticks) <= most
    assert all(-1e-6 <= axis.place(tick.value) <= 1 + 1e-6 for tick in ticks)
    gaps = [b.value - a.value for a, b in pairwise(ticks)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps) if gaps else [], rel=1e-3)
    assert len({tick.label for tick in ticks}) == len(ticks)
    for tick in ticks:
        assert float(tick.label.replace(",", "")) == pytest.approx(tick.value)


def test_places() -> None:
    assert [Axis(1, 5).place(v) for v in (1, 2, 5)] == [0, 0.25, 1]
    assert [Axis(0.01, 100, log=True).place(v) for v in (0.01, 1, 100)] == pytest.approx([0, 0.5, 1])


def test_spans_have_room_around_them() -> None:
    assert step_axis(40) == Axis(0, 40)
    assert step_axis(0) == Axis(0, 1)
    assert value_axis([1.0, 2.0], log=False) == Axis(0.96, 2.04)
    assert value_axis([0.01, 2.0], log=False).low == 0
    assert value_axis([-1.0, 1.0], log=False) == Axis(-1.08, 1.08)
    log = value_axis([0.01, 100.0], log=True)
    assert (math.log10(log.low), math.log10(log.high)) == pytest.approx((-2.16, 2.16))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("value", [0.5, 1e-9, 12345.0])
def test_one_value_stands_in_the_middle(value: float, log: bool) -> None:
    axis = value_axis([value], log)
    assert axis.place(value) == pytest.approx(0.5)
    assert len(axis.ticks(5)) >= 2
    assert value_axis([0.0], log=False) == Axis(0, 1)
