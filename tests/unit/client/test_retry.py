"""Delays grow, stay bounded, and end."""

import itertools

from symbiont.client.retry import LONGEST_DELAY_S, Retry


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_delays_double_and_end_with_the_patience() -> None:
    clock = Clock()
    retry = Retry(20, clock)
    delays = []
    while (delay := retry.delay()) is not None:
        delays.append(delay)
        clock.now += delay
    assert 0.05 <= delays[0] <= 0.1
    assert delays[-1] <= LONGEST_DELAY_S
    assert all(later > earlier * 0.45 for earlier, later in itertools.pairwise(delays))
    assert sum(delays) < 20 <= sum(delays) + LONGEST_DELAY_S


def test_an_answer_starts_over() -> None:
    clock = Clock()
    retry = Retry(1, clock)
    clock.now += 2
    assert retry.delay() is None
    retry.reset()
    assert retry.delay() is not None
