"""Few labels for many names: those that weigh most have one, nothing is lost, and no counter goes back."""

import random

import pytest
from prometheus_client import CollectorRegistry, Counter

from support.clock import Clock
from symbiont.common import top
from symbiont.common.top import OTHER, Top, TopCounters

TENANTS, MOST, HEAVY = 10_000, 50, 20


def series(counter: Counter) -> dict[str, float]:
    (family,) = counter.collect()
    return {s.labels["tenant"]: s.value for s in family.samples if s.name.endswith("_total")}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(0.0)
    monkeypatch.setattr(top.Top.__init__, "__defaults__", ((), lambda name: None, made))
    return made


def test_ten_thousand_tenants_have_fifty_labels(clock: Clock) -> None:
    """The heavy ones among them come to have their own, though they begin last and are first seen as others."""
    registry, draw = CollectorRegistry(), random.Random(7)
    tokens, rows = (Counter(name, name, ["tenant"], registry=registry) for name in ("tokens", "rows"))
    usage = TopCounters(MOST, [tokens, rows], always=["named"])
    sent, before = 0.0, dict[str, float]()
    for minute in range(5):
        for tenant in draw.sample(range(TENANTS), TENANTS):
            heavy = minute > 0 and tenant < HEAVY
            amount = 10_000 if heavy else 1 + tenant % 7
            usage.add(f"tenant-{tenant}", amount, 1)
            sent += amount
        now = series(tokens)
        assert len(now) <= MOST + 2
        assert now.keys() == series(rows).keys()
        # What an alert's rate is of: a series that stays only grows.
        assert all(value >= before[name] for name, value in now.items() if name in before and name == OTHER)
        before = now
        clock.now += 61
    usage.add("tenant-0", 1, 1)
    assert {f"tenant-{n}" for n in range(HEAVY)} <= series(tokens).keys()
    assert "named" in series(tokens)


def test_everything_is_counted_once_while_no_label_goes() -> None:
    registry = CollectorRegistry()
    counter = Counter("tokens", "tokens", ["tenant"], registry=registry)
    usage = TopCounters(2, [counter], always=["big"])
    for name, amount in (("a", 1), ("b", 2), ("c", 4), ("big", 8), ("c", 16), (OTHER, 32)):
        usage.add(name, amount)
    assert series(counter) == {"a": 1, "b": 2, "big": 8, OTHER: 4 + 16 + 32}


def test_a_label_is_kept_until_another_weighs_clearly_more() -> None:
    clock, gone = Clock(0.0), list[str]()
    chosen = Top(1, left=gone.append, clock=clock)
    assert chosen.label("first", 100) == "first"
    assert chosen.label("near", 120) == OTHER
    clock.now = 61
    assert chosen.label("first", 0) == "first"
    assert chosen.label("far", 1000) == OTHER
    clock.now = 122
    assert chosen.label("far", 0) == "far"
    assert gone == ["first"]
    assert chosen.label("first", 0) == OTHER


def test_what_was_heavy_long_ago_is_not() -> None:
    clock = Clock(0.0)
    chosen = Top(1, clock=clock)
    chosen.label("old", 1000)
    for minute in range(1, 12):
        clock.now = 61 * minute
        chosen.label("new", 10)
    assert chosen.label("new", 0) == "new"


def test_names_that_are_made_up_cost_no_memory() -> None:
    chosen = Top(10, clock=lambda: 0.0)
    chosen.label("heavy", 1e9)
    for number in range(20_000):
        chosen.label(f"made-up-{number}", 1)
    assert len(chosen._weights) <= top._KNOWN + 1
    assert chosen.label("heavy", 0) == "heavy"
