"""Calls are split by weight, keys keep their version, and a higher weight takes no key back."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.common.errors import InvalidArgument
from symbiont.inference.releases.picking import check_key, picks_candidate, position

KEYS = [f"user-{number}" for number in range(10_000)]


def within(count: int, share: float, sigmas: float = 5) -> bool:
    """Whether a count of 10,000 lies within some standard deviations of a binomial distribution."""
    expected = len(KEYS) * share
    return abs(count - expected) <= sigmas * math.sqrt(expected * (1 - share))


@pytest.mark.parametrize("weight", [1, 10, 50, 90, 99])
@pytest.mark.parametrize("sticky", [True, False])
def test_the_candidate_gets_its_share(release: Any, weight: int, sticky: bool) -> None:
    tried = release(weight=weight)
    assert within(sum(picks_candidate(tried, key if sticky else "") for key in KEYS), weight / 100)


@pytest.mark.parametrize(("weight", "all_or_none"), [(0, False), (100, True)])
def test_nothing_and_everything_are_exact(release: Any, weight: int, all_or_none: bool) -> None:
    tried = release(weight=weight)
    assert {picks_candidate(tried, key) for key in [*KEYS, *[""] * 1000]} == {all_or_none}


def test_a_key_keeps_its_version_while_the_weight_rises(release: Any) -> None:
    before: set[str] = set()
    for weight in range(0, 101, 5):
        tried = release(weight=weight)
        picked = {key for key in KEYS if picks_candidate(tried, key)}
        assert picked == {key for key in KEYS if picks_candidate(tried, key)}
        assert before <= picked
        before = picked


def test_another_release_tries_other_callers(release: Any) -> None:
    one, other = ({k for k in KEYS if picks_candidate(release(weight=10, name=name), k)} for name in ("r1", "r2"))
    # As many of the first hundred per mille are in the second as chance puts there.
    assert within(len(one & other), 0.01)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=40))
def test_a_position_is_a_share(name: str, key: str) -> None:
    assert 0 <= position(name, key) < 100


def test_a_key_is_bounded_in_bytes() -> None:
    assert check_key("routing_key", "é" * 64) == "é" * 64
    with pytest.raises(InvalidArgument, match="routing_key: it has 130 bytes"):
        check_key("routing_key", "é" * 65)
