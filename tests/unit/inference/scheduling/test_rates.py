"""A tenant gets what it may in a second, and is told when it may again."""

import pytest

from support.clock import Clock
from symbiont.common.errors import ResourceExhausted
from symbiont.inference.scheduling.rates import BURST_SECONDS, Rate, Rates


def served(rates: Rates, clock: Clock, seconds: int, calls: int, tokens: int, tenant: str = "bank") -> int:
    """Asks so often in each second; returns how many calls were let on."""
    count = 0
    for _ in range(seconds * calls):
        clock.now += 1 / calls
        try:
            rates.take(tenant, tokens)
        except ResourceExhausted:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("rate", "tokens", "expected"), [(Rate(calls=10), 500, 10), (Rate(tokens=1000), 100, 10), (Rate(20, 1000), 100, 10)]
)
def test_in_the_long_run_it_is_the_rate(rate: Rate, tokens: int, expected: int) -> None:
    clock = Clock(0.0)
    rates = Rates({"bank": rate}, clock)
    count = served(rates, clock, 100, 100, tokens)
    assert count == pytest.approx(expected * (100 + BURST_SECONDS), abs=2)


def test_who_waits_as_long_as_it_is_told_is_let_on() -> None:
    clock = Clock(0.0)
    rates = Rates({"bank": Rate(tokens=100)}, clock)
    rates.take("bank", 1000)
    with pytest.raises(ResourceExhausted, match="more tokens in a second") as caught:
        rates.take("bank", 1)
    assert (caught.value.reason, caught.value.retry_after_s) == ("TENANT_RATE", pytest.approx(8.0))
    clock.now += 7.9
    with pytest.raises(ResourceExhausted):
        rates.take("bank", 1)
    clock.now += 0.1 + 1e-6
    rates.take("bank", 1)


def test_a_call_that_is_refused_costs_nothing() -> None:
    clock = Clock(0.0)
    rates = Rates({"bank": Rate(calls=1, tokens=1)}, clock)
    rates.take("bank", 3)
    for _ in range(100):
        with pytest.raises(ResourceExhausted):
            rates.take("bank", 1000)
    clock.now += 1.5
    rates.take("bank", 1)


def test_what_is_known_costs_a_call_and_no_tokens() -> None:
    clock = Clock(0.0)
    rates = Rates({"bank": Rate(calls=1, tokens=1)}, clock)
    rates.take("bank", 1000)
    with pytest.raises(ResourceExhausted, match="more tokens"):
        rates.take("bank", 1)
    for _ in range(int(BURST_SECONDS)):
        rates.take_known("bank")
    with pytest.raises(ResourceExhausted, match="more calls"):
        rates.take_known("bank")
    Rates({"bank": Rate(tokens=1)}, clock).take_known("bank")


def test_tokens_that_come_later_are_waited_for_by_the_next_call() -> None:
    clock = Clock(0.0)
    rates = Rates({"bank": Rate(tokens=10)}, clock)
    rates.take("bank", 0)
    for _ in range(50):
        rates.add_tokens("bank", 2)
        rates.add_tokens("shop", 2)
    rates.take("shop", 0)
    with pytest.raises(ResourceExhausted) as caught:
        rates.take("bank", 0)
    assert caught.value.retry_after_s == pytest.approx(100 / 10 - BURST_SECONDS)


def test_others_are_not_concerned() -> None:
    clock = Clock(0.0)
    rates = Rates({"bank": Rate(calls=1)}, clock)
    served(rates, clock, 1, 100, 1)
    assert served(rates, clock, 1, 100, 1, "shop") == 100
