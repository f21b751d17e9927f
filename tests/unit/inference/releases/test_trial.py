"""A trial sums what it sees, and tells once of the first rule that is broken."""

from typing import Any

import pytest

from symbiont.inference.releases.trial import Breach, Trial


def make(release: Any, **rules: Any) -> tuple[Trial, list[Breach]]:
    told: list[Breach] = []
    return Trial(release(min_samples=10, **rules), lambda _, breach: told.append(breach)), told


def calls(trial: Trial, is_candidate: bool, *, count: int = 10, failed: bool = False, seconds: float = 0.01) -> None:
    for _ in range(count):
        trial.note_call(is_candidate, failed, seconds)


def test_failures_break_the_rule_on_errors(release: Any) -> None:
    trial, told = make(release, max_error_rate_increase=0.5)
    calls(trial, False)
    calls(trial, True, failed=True)
    (breach,) = told
    assert breach is trial.breach
    assert breach.rule == "error_rate"
    assert breach.reason == (
        "the share of failed calls is 1 above that of the alias's version, allowed is 0.5 (from 10 or more of each)"
    )
    calls(trial, False)
    calls(trial, True, failed=True)
    assert told == [breach]
    assert (trial.candidate.calls, trial.candidate.failed, trial.baseline.calls, trial.baseline.failed) == (
        20,
        20,
        20,
        0,
    )


def test_slow_calls_break_the_rule_on_latency(release: Any) -> None:
    trial, told = make(release, max_p99_latency_ratio=2.0)
    calls(trial, False, seconds=0.01)
    calls(trial, True, seconds=0.018)
    assert told == []
    calls(trial, False, seconds=0.01)
    calls(trial, True, seconds=0.03)
    assert [breach.rule for breach in told] == ["latency"]


def test_a_failed_call_has_no_time(release: Any) -> None:
    trial, told = make(release, max_p99_latency_ratio=2.0)
    calls(trial, False, seconds=0.01)
    calls(trial, True, seconds=10, failed=True)
    trial.note_call(True, False, None)
    assert told == []
    assert not trial.candidate.times


def test_other_labels_break_the_rule_on_them(release: Any) -> None:
    trial, told = make(release, max_label_shift=0.3)
    trial.note_labels(False, ["yes"] * 5 + ["no"] * 5)
    trial.note_labels(True, ["yes"] * 5 + ["no"] * 4)
    assert told == []
    trial.note_labels(True, ["no"] * 5)
    assert told == []
    trial.note_labels(False, ["yes"] * 10)
    trial.note_labels(True, ["no"] * 10)
    assert [breach.rule for breach in told] == ["label_shift"]
    assert trial.candidate.labels == {"yes": 5, "no": 19}


@pytest.mark.parametrize("is_candidate", [True, False])
def test_without_rules_nothing_is_broken(release: Any, is_candidate: bool) -> None:
    trial, told = make(release)
    calls(trial, is_candidate, count=100, failed=True)
    calls(trial, not is_candidate, count=100)
    trial.note_labels(is_candidate, ["a"] * 100)
    trial.note_labels(not is_candidate, ["b"] * 100)
    assert (told, trial.breach) == ([], None)
