"""How fast a host is, is known from requests that it could have filled."""

import pytest

from symbiont.inference.scheduling.pace import Pace


def test_nothing_is_known_at_first() -> None:
    pace = Pace()
    assert (pace.tokens_per_s, pace.seconds(1000)) == (0, 0)
    pace.note(100, 0.1, 0.1, full=False)
    assert pace.tokens_per_s == 0


def test_it_follows_what_is_measured() -> None:
    pace = Pace()
    pace.note(1000, 0.1, 0.1, full=True)
    assert pace.tokens_per_s == pytest.approx(10_000)
    for _ in range(40):
        pace.note(2000, 0.1, 0.1, full=True)
    assert pace.tokens_per_s == pytest.approx(20_000, rel=0.01)
    assert pace.seconds(20_000) == pytest.approx(1, rel=0.01)


def test_a_small_request_says_the_least_that_the_host_can_do() -> None:
    pace = Pace()
    pace.note(1000, 0.1, 0.1, full=True)
    for _ in range(40):
        pace.note(10, 0.01, 0.01, full=False)
    assert pace.tokens_per_s == pytest.approx(10_000)
    pace.note(3000, 0.1, 0.1, full=False)
    assert pace.tokens_per_s > 10_000


def test_one_slow_request_counts_little() -> None:
    pace = Pace()
    pace.note(1000, 0.1, 0.1, full=True)
    pace.note(10, 1.0, 1.0, full=True)
    assert pace.tokens_per_s == pytest.approx(9_000)


def test_what_is_not_computing_does_not_count() -> None:
    pace = Pace()
    pace.note(1000, 0.1, 0.1, full=True)
    # The host was loaded first.
    pace.note(1000, 5.0, 0.1, full=True)
    pace.note(1000, 0.0, 0.1, full=True)
    assert pace.tokens_per_s == pytest.approx(10_000)
