"""How fast a host is, is known from requests that it could have filled."""

import pytest

from symbiont.inference.scheduling.pace import Pace, Sizes


def noted(pace: Pace, *samples: tuple[int, float], full: bool = True) -> None:
    """Takes requests in of so many tokens and seconds; what the last one says is known with the next."""
    for tokens, seconds in samples:
        pace.note(tokens, seconds, seconds, full=full)


def test_nothing_is_known_at_first() -> None:
    pace = Pace()
    assert (pace.tokens_per_s, pace.seconds(1000)) == (0, 0)
    noted(pace, *[(100, 0.1)] * 3, full=False)
    assert pace.tokens_per_s == 0


@pytest.mark.parametrize("samples", [[(100, 2.0), (1000, 0.1)], [(1000, 0.1), (100, 2.0)]])
def test_of_the_first_two_the_slower_one_is_not_believed(samples: list[tuple[int, float]]) -> None:
    pace = Pace()
    noted(pace, *samples)
    assert pace.seconds(1000) == 0
    noted(pace, (1000, 0.1))
    assert pace.tokens_per_s == pytest.approx(10_000)


def test_it_follows_what_is_measured() -> None:
    pace = Pace()
    noted(pace, *[(1000, 0.1)] * 3)
    assert pace.tokens_per_s == pytest.approx(10_000)
    noted(pace, *[(2000, 0.1)] * 40)
    assert pace.tokens_per_s == pytest.approx(20_000, rel=0.01)
    assert pace.seconds(20_000) == pytest.approx(1, rel=0.01)


def test_a_small_request_says_the_least_that_the_host_can_do() -> None:
    pace = Pace()
    noted(pace, *[(1000, 0.1)] * 3)
    noted(pace, *[(10, 0.01)] * 40, full=False)
    assert pace.tokens_per_s == pytest.approx(10_000)
    noted(pace, *[(3000, 0.1)] * 2, full=False)
    assert pace.tokens_per_s > 10_000


def test_requests_that_were_computed_together_count_as_one() -> None:
    pace = Pace()
    for _ in range(20):
        pace.note(500, 0.1, 0.1, full=True)
        pace.note(500, 0.001, 0.1, full=True)
    assert pace.tokens_per_s == pytest.approx(10_000, rel=0.02)


def test_one_slow_request_counts_little() -> None:
    pace = Pace()
    noted(pace, *[(1000, 0.1)] * 3, (1000, 3.0), (1000, 0.1))
    assert pace.tokens_per_s == pytest.approx(8_333, rel=0.01)


def test_requests_that_are_given_up_say_that_the_host_is_slow() -> None:
    pace = Pace()
    noted(pace, *[(1000, 0.1)] * 3)
    pace.gave_up(1000, 0.05)
    assert pace.tokens_per_s == pytest.approx(10_000)
    for _ in range(40):
        pace.gave_up(1000, 2.0)
    assert pace.tokens_per_s == pytest.approx(500, rel=0.1)


def test_what_is_not_computing_does_not_count() -> None:
    pace = Pace()
    noted(pace, *[(1000, 0.1)] * 3)
    # The host was loaded first.
    pace.note(1000, 5.0, 0.1, full=True)
    noted(pace, *[(1000, 0.1)] * 2)
    assert pace.tokens_per_s == pytest.approx(10_000)


def run(request_s: float, token_s: float, sizes: Sizes) -> int:
    """Returns the size of requests to which a host leads that costs so much."""
    pace, found = Pace(), []
    for number in range(200):
        tokens = pace.request_tokens(sizes)
        found.append(tokens)
        # Rows are not cut: no two requests have quite the same size.
        tokens -= number % 7 * tokens // 100
        seconds = request_s + token_s * tokens
        pace.note(tokens, seconds, seconds, full=True)
    return max(found[-8:])


@pytest.mark.parametrize(
    ("request_s", "token_s", "tokens"),
    [
        # A tenth of a second is wanted.
        (0.0, 0.0001, 1000),
        (0.02, 0.0001, 800),
        # Three quarters of it at least go with the tokens.
        (0.05, 0.0001, 1500),
        (0.08, 0.0001, 2400),
        # Not at any price.
        (0.3, 0.0001, 1000),
        (0.0, 0.01, 128),
        (0.0, 1e-7, 16384),
    ],
)
def test_a_request_is_as_large_as_it_should_be(request_s: float, token_s: float, tokens: int) -> None:
    assert run(request_s, token_s, Sizes()) == pytest.approx(tokens, rel=0.15)


def test_nothing_is_known_of_the_first_request() -> None:
    assert Pace().request_tokens(Sizes(first=300)) == 300


def test_small_requests_do_not_hide_what_a_request_costs() -> None:
    pace = Pace()
    for tokens in (20, 40, 60, 30, 50, 20, 70, 40) * 5:
        pace.note(tokens, 0.01 + 0.0001 * tokens, 0.01, full=False)
    assert pace.request_tokens(Sizes()) == pytest.approx(900, rel=0.1)
