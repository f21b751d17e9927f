"""Turns go round by weight, whoever comes and goes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from symbiont.inference.scheduling.shares import FairShares

WEIGHTS = st.lists(st.floats(0.1, 10), min_size=2, max_size=6)
COSTS = st.lists(st.floats(1, 100), min_size=20, max_size=60)


@given(WEIGHTS, COSTS)
def test_those_that_wait_all_the_time_share_by_weight(weights: list[float], costs: list[float]) -> None:
    shares: FairShares[int] = FairShares()
    for key, weight in enumerate(weights):
        shares.enter(key, weight)
    served: Counter[int] = Counter()
    for cost in costs:
        key = shares.first()
        served[key] += cost
        shares.charge(shares.first(), cost)
    # Two that wait differ by no more than the largest cost of each (theorem 1 of the paper).
    each = [served[key] / weight for key, weight in enumerate(weights)]
    for a, first in enumerate(each):
        for b, second in enumerate(each):
            assert abs(first - second) <= max(costs) / weights[a] + max(costs) / weights[b] + 1e-6


def test_the_smaller_rank_goes_first_of_equal_ones() -> None:
    shares: FairShares[str] = FairShares()
    shares.enter("later", rank=2)
    shares.enter("first", rank=1)
    assert shares.first() == "first"


def test_who_leaves_and_comes_back_gets_no_more_than_who_stays() -> None:
    shares: FairShares[str] = FairShares()
    shares.enter("stays")
    shares.enter("hops")
    served: Counter[str] = Counter()
    for _ in range(1000):
        key = shares.first()
        served[key] += 1
        shares.charge(shares.first(), 1)
        if key == "hops":
            shares.leave("hops")
            shares.enter("hops")
    assert abs(served["stays"] - served["hops"]) <= 1


def test_nobody_saves_up_turns_by_staying_away() -> None:
    shares: FairShares[str] = FairShares()
    shares.enter("stays")
    for _ in range(1000):
        shares.charge(shares.first(), 1)
    shares.enter("late")
    served: Counter[str] = Counter()
    for _ in range(10):
        served[shares.first()] += 1
        shares.charge(shares.first(), 1)
    assert served["stays"] >= 4


def test_keys_that_come_once_are_forgotten() -> None:
    shares: FairShares[int] = FairShares()
    shares.enter(-1)
    most = turns = 0
    for key in range(10_000):
        shares.enter(key)
        while shares.first() != key:
            shares.charge(shares.first(), 1)
            turns += 1
        shares.charge(shares.first(), 1)
        shares.leave(key)
        most = max(most, shares.remembered)
    assert most <= 4
    # Nor does the one that stays starve.
    assert turns >= 9_000
    shares.leave(-1)
    assert (len(shares), shares.remembered) == (0, 0)


def test_a_turn_of_one_that_left_is_none() -> None:
    shares: FairShares[str] = FairShares()
    shares.enter("a")
    shares.enter("b")
    shares.leave("a")
    assert shares.first() == "b"
    assert "a" not in shares


def test_the_turn_of_the_others_is_known_too() -> None:
    shares: FairShares[str] = FairShares()
    for key in ("a", "b", "c"):
        shares.enter(key)
    assert (shares.first(), shares.first("a"), shares.first("b")) == ("a", "b", "a")
    shares.charge("b", 5)
    assert shares.first("a") == "c"
    shares.charge("c", 9)
    assert (shares.first(), shares.first("a")) == ("a", "b")
