"""The rules of a race, on recorded curves and results: no service."""

import pytest

from symbiont.advisor.curve import Curve, Point
from symbiont.advisor.rules import Fate, Standing, advised, behind, contenders, enough


def trained(name: str, value: float, seconds: float = 1.0, own_base: bool = False) -> Standing:
    return Standing(name, Fate.TRAINED, value, seconds, own_base)


def curve(*values: float) -> Curve:
    return Curve("accuracy", [Point(10 * i, float(i), value) for i, value in enumerate(values, 1)])


CUT = Standing("cut", Fate.CUT, None, 1.0)
FAILED = Standing("failed", Fate.FAILED, None, 1.0)


@pytest.mark.parametrize(
    ("climbed", "ends"),
    [
        ([], False),
        ([trained("a", 0.8)], False),
        ([trained("a", 0.8), trained("b", 0.803)], False),
        ([trained("a", 0.8), trained("b", 0.803), trained("c", 0.804)], True),
        ([trained("a", 0.8), trained("b", 0.7), trained("c", 0.6)], True),
        # What brings as much as the tolerance begins the count anew.
        ([trained("a", 0.8), trained("b", 0.803), trained("c", 0.81), trained("d", 0.81)], False),
        # Small gains add up: 0.4 and 0.4 are more than 0.5.
        ([trained("a", 0.8), trained("b", 0.804), trained("c", 0.808)], False),
        # Exactly the tolerance is a gain, though 0.865 - 0.86 is not 0.005 in floating point.
        ([trained("a", 0.86), trained("b", 0.86), trained("c", 0.865)], False),
        ([trained("a", 0.8), CUT, CUT], True),
        # A failure says nothing of quality.
        ([trained("a", 0.8), FAILED, FAILED], False),
        ([trained("a", 0.8), trained("b", 0.8), FAILED, CUT], True),
        ([FAILED, trained("a", 0.1)], False),
    ],
)
def test_the_climb_ends_after_two_rungs_that_bring_little(climbed: list[Standing], ends: bool) -> None:
    assert enough(climbed, 0.5) is ends


def test_the_best_is_advised_where_it_is_worth_more_than_the_tolerance() -> None:
    rungs = [trained("head_only", 0.8, 1), trained("lora", 0.85, 3), trained("full", 0.9, 9, own_base=True)]
    found = advised(rungs, 0.5)
    assert found is not None
    assert found.name == "full"


def test_the_cheapest_is_advised_where_it_suffices() -> None:
    rungs = [trained("head_only", 0.896, 1), trained("lora", 0.9, 3), trained("full", 0.899, 9, own_base=True)]
    found = advised(rungs, 0.5)
    assert found is not None
    assert found.name == "head_only"
    # The border belongs to it.
    found = advised([trained("a", 0.895, 1), trained("b", 0.9, 2)], 0.5)
    assert found is not None
    assert found.name == "a"


def test_cheap_is_what_compute_was_measured_and_a_copy_of_the_base_is_dear() -> None:
    rungs = [trained("lora", 0.9, 5), trained("houlsby", 0.9, 4), trained("full", 0.9, 1, own_base=True)]
    found = advised(rungs, 0.5)
    assert found is not None
    assert found.name == "houlsby"


def test_without_a_version_there_is_no_advice() -> None:
    assert advised([CUT, FAILED], 0.5) is None
    assert contenders([CUT, FAILED], 0.5) == []
    # A measure below 0, as a rank correlation, is one all the same.
    found = advised([trained("a", -0.2), FAILED], 0.5)
    assert found is not None
    assert found.name == "a"


def test_more_seeds_are_for_what_is_close() -> None:
    rungs = [trained("a", 0.8), trained("b", 0.892), trained("c", 0.9), CUT]
    assert [one.name for one in contenders(rungs, 0.5)] == ["b", "c"]
    below = [trained("a", -0.3), trained("b", -0.1)]
    assert [one.name for one in contenders(below, 0.5)] == ["b"]


def test_what_is_far_behind_at_half_cannot_win() -> None:
    leaders = {"lora": curve(0.7, 0.8, 0.85, 0.86), "head-only": curve(0.6, 0.6)}
    reason = behind(curve(0.5, 0.5), leaders, 4, 0.5, rows=1000)
    assert reason.startswith("after 2 of 4 checkpoints it is 30.0 points behind lora, more than")


@pytest.mark.parametrize(
    ("own", "rows", "why"),
    [
        ((0.5,), 1000, "a quarter is too early"),
        ((0.5, 0.5, 0.5, 0.5), 1000, "it is done"),
        ((0.79, 0.7), 1000, "its best counts, not its last"),
        ((0.77, 0.77), 400, "chance moves as much on so few rows"),
        ((0.9, 0.9), 1000, "it leads"),
    ],
)
def test_what_may_win_yet_goes_on(own: tuple[float, ...], rows: int, why: str) -> None:
    assert behind(curve(*own), {"lora": curve(0.7, 0.8, 0.85, 0.86)}, 4, 0.5, rows) == "", why


def test_rows_and_tolerance_decide_what_is_far() -> None:
    leaders, own = {"lora": curve(0.7, 0.8)}, curve(0.77, 0.77)
    assert behind(own, leaders, 4, 0.5, rows=10_000)
    assert not behind(own, leaders, 4, 5.0, rows=10_000)


def test_an_ended_curve_counts_with_its_best() -> None:
    # It ended early, after one checkpoint.
    assert behind(curve(0.5, 0.5), {"head-only": curve(0.9)}, 4, 0.5, rows=1000)
    assert not behind(curve(0.5, 0.5), {"head-only": curve()}, 4, 0.5, rows=1000)
    assert not behind(curve(0.5, 0.5), {}, 4, 0.5, rows=0)
