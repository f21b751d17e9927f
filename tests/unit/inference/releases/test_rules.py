"""What tells a worse candidate from chance, and when it is judged."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.inference.releases.rules import (
    Comparison,
    bucket_of,
    error_rate_increase,
    p99_ratio,
    p99_seconds,
    total_variation,
)

LABELS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1).map(Counter)


def times(seconds: Any) -> Counter[Any]:
    return Counter(bucket_of(each) for each in seconds)


def test_an_error_rate_is_a_difference_of_shares() -> None:
    assert error_rate_increase(Counter({True: 1, False: 9}), Counter({True: 3, False: 3})) == pytest.approx(0.4)
    assert error_rate_increase(Counter({True: 5, False: 5}), Counter({False: 4})) == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("baseline", "candidate", "distance"),
    [
        ({"yes": 5, "no": 5}, {"yes": 50, "no": 50}, 0.0),
        ({"yes": 5, "no": 5}, {"yes": 9, "no": 1}, 0.4),
        ({"yes": 3}, {"no": 7}, 1.0),
        ({"a": 1, "b": 1}, {"a": 1, "c": 1}, 0.5),
    ],
)
def test_labels_are_apart_by_their_total_variation(
    baseline: dict[Any, int], candidate: dict[Any, int], distance: float
) -> None:
    assert total_variation(Counter(baseline), Counter(candidate)) == pytest.approx(distance)


@given(LABELS, LABELS)
def test_the_distance_is_one(a: Any, b: Any) -> None:
    assert 0 <= total_variation(a, b) <= 1 + 1e-12
    assert total_variation(a, b) == pytest.approx(total_variation(b, a))
    # The definition: the largest difference of the shares of any set of labels.
    labels = sorted(a.keys() | b.keys())
    gain = sum(max(0.0, a[x] / a.total() - b[x] / b.total()) for x in labels)
    assert total_variation(a, b) == pytest.approx(gain)


def test_p99_is_close_to_the_sorted_times() -> None:
    sample = np.random.default_rng(0).lognormal(-4, 1, 5000)
    exact = np.sort(sample)[int(np.ceil(0.99 * len(sample))) - 1]
    assert p99_seconds(times(sample)) == pytest.approx(exact, rel=0.03)
    assert p99_ratio(times(sample), times(3 * sample)) == pytest.approx(3, rel=0.05)
    assert p99_seconds(Counter()) == 0


def test_it_is_judged_only_with_enough_of_both() -> None:
    comparison = Comparison(0.2, 10, error_rate_increase)
    assert comparison.add(True, [True] * 100) is None
    assert comparison.add(False, [False] * 9) is None
    assert comparison.add(False, [False]) == pytest.approx(1.0)


def test_what_is_at_the_limit_holds() -> None:
    comparison = Comparison(0.2, 10, error_rate_increase)
    comparison.add(False, [False] * 10)
    assert comparison.add(True, [True] * 2 + [False] * 8) is None
    comparison.add(False, [False] * 10)
    assert comparison.add(True, [True] * 3 + [False] * 7) == pytest.approx(0.3)


def test_many_good_calls_do_not_hide_later_bad_ones() -> None:
    comparison = Comparison(0.3, 10, error_rate_increase)
    for _ in range(1000):
        assert comparison.add(False, [False]) is None
        assert comparison.add(True, [False]) is None
    found = []
    for _ in range(20):
        comparison.add(False, [False])
        found.append(comparison.add(True, [True]))
    assert any(found)


def test_a_candidate_with_nearly_all_calls_is_judged_by_what_was_seen_before() -> None:
    comparison = Comparison(0.3, 10, error_rate_increase)
    comparison.add(False, [False] * 10)
    assert comparison.add(True, [False] * 10) is None
    # From here on the alias's own version gets no calls.
    assert comparison.add(True, [True] * 9) is None
    assert comparison.add(True, [True]) == pytest.approx(1.0)


def test_memory_does_not_grow_with_calls() -> None:
    comparison = Comparison(1.5, 1000, p99_ratio)
    for seconds in np.random.default_rng(1).lognormal(-4, 2, 20_000):
        comparison.add(False, [bucket_of(seconds)])
        comparison.add(True, [bucket_of(seconds)])
    kept = (comparison._candidate, comparison._baseline, comparison._baseline_before)
    assert max(len(sample) for sample in kept) < 500
