"""Calls are given out, watched, and given to no candidate that broke a rule."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from symbiont.common.errors import (
    DeadlineExceeded,
    IntegrityError,
    InvalidArgument,
    NotFound,
    SymbiontError,
    Unavailable,
)
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import RELEASE_BUCKETS
from symbiont.inference.reference import ModelReference
from symbiont.inference.releases.shadow import Question
from symbiont.inference.types import Role, Served

Process = Any


async def test_calls_are_part_of_a_release_by_their_weight(process: Process, release: Any) -> None:
    process.begin(None)
    assert process.role("u1") is None
    tried = release(weight=100)
    process.begin(tried)
    assert process.role("u1") == Role(tried, is_candidate=True)
    process.begin(release(weight=0))
    assert process.role("u1") == Role(release(weight=0), is_candidate=False)


async def test_what_is_no_users_call_is_part_of_none(process: Process, release: Any) -> None:
    process.begin(release(weight=100))
    assert process.role(None) is None
    assert process.releases.role_of(ModelReference("x", version=1), "u1") is None
    assert process.releases.role_of(ModelReference("", bundle_digest="d" * 64), "u1") is None
    assert process.releases.role_of(ModelReference("x", "staging"), "u1") is None


async def test_a_candidate_waits_until_it_has_answered(process: Process, release: Any) -> None:
    process.begin(release(weight=100), proven=False)
    assert process.role() is None
    process.table.prove(process.version("x", 2))
    assert process.role() is not None


async def test_calls_are_counted_by_version(process: Process, release: Any) -> None:
    tried = release()
    process.begin(tried)
    for is_candidate in (True, True, False):
        await process.ask(role=Role(tried, is_candidate))
    seen = process.releases.observed(tried.name)
    assert (seen.baseline, seen.in_use) == (process.version("x", 1), True)
    assert (seen.trial.candidate.calls, seen.trial.candidate.labels) == (2, {"no": 4})
    assert (seen.trial.baseline.calls, seen.trial.baseline.labels) == (1, {"yes": 2})
    assert seen.trial.candidate.times.total() == 2
    assert process.count("release_calls_total", part="candidate", result="answered") == 2
    assert process.count("release_seconds_count", part="candidate") == 2
    with pytest.raises(NotFound):
        process.releases.observed("models/x/aliases/production/releases/r9")


@pytest.mark.parametrize("error", [Unavailable("gone"), IntegrityError("NaN"), DeadlineExceeded("late")])
async def test_failures_count_against_a_version(process: Process, release: Any, error: SymbiontError) -> None:
    tried = release()
    process.begin(tried)
    process.hosts.error = error
    # Some fail as a whole, others row by row.
    with suppress(type(error)):
        await process.ask(role=Role(tried, is_candidate=True))
    seen = process.releases.observed(tried.name).trial.candidate
    assert (seen.calls, seen.failed) == (1, 1)


async def test_ids_that_do_not_fit_are_the_callers_own_fault(process: Process, release: Any) -> None:
    tried = release()
    process.begin(tried)
    process.hosts.error = InvalidArgument("input_ids", "an id is outside the base's vocabulary")
    served = Served(process.version("x", 2), next(iter(process.infos.values())), Role(tried, is_candidate=True))
    await process.releases.infer_rows(served, [], Question(), Deadline(1))
    await process.ask(role=Role(tried, is_candidate=True))
    # The second one was tokenized here: its ids fit, or the version is broken.
    seen = process.releases.observed(tried.name).trial.candidate
    assert (seen.calls, seen.failed) == (2, 1)


@pytest.mark.parametrize(("deadline", "counted"), [(0.0, 1), (60.0, 0)])
async def test_a_deadline_that_passes_counts_and_a_caller_who_leaves_does_not(
    process: Process, release: Any, deadline: float, counted: int
) -> None:
    tried = release()
    process.begin(tried)
    process.hosts.seconds = 60
    served = Served(process.version("x", 2), next(iter(process.infos.values())), Role(tried, is_candidate=True))
    given = Deadline(60)
    call = asyncio.create_task(process.releases.infer_rows(served, [], Question(), given))
    await asyncio.sleep(0)
    given._end += deadline - 60
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    seen = process.releases.observed(tried.name).trial.candidate
    assert (seen.calls, seen.failed) == (counted, counted)


async def test_a_candidate_that_breaks_a_rule_gets_no_further_call(process: Process, release: Any, until: Any) -> None:
    tried = release(weight=100, max_label_shift=0.5, min_samples=10)
    process.begin(tried)
    for _ in range(5):
        await process.ask(role=Role(tried, is_candidate=False))
        assert process.role() is not None
        await process.ask(role=Role(tried, is_candidate=True))
    assert process.role() is None
    assert not process.releases.observed(tried.name).in_use
    await until(lambda: process.registry.ended != [])
    ((name, reason),) = process.registry.ended
    assert (name, reason.startswith("the labels are 1 away")) == (tried.name, True)
    assert process.count("releases_broken_total", rule="label_shift") == 1
    # The registry says that it has ended; then there is nothing left of it.
    process.begin(None)
    with pytest.raises(NotFound):
        process.releases.observed(tried.name)


async def test_a_registry_that_is_away_is_told_later(
    process: Process, release: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symbiont.inference.releases.releases.FIRST_DELAY", 0.01)
    tried = release(weight=100, max_error_rate_increase=0.1, min_samples=10)
    process.begin(tried)
    process.registry.down = True
    for _ in range(10):
        await process.ask(role=Role(tried, is_candidate=False))
    process.hosts.error = IntegrityError("NaN")
    for _ in range(10):
        await process.ask(role=Role(tried, is_candidate=True))
    await until(lambda: process.registry.asked.count(tried.name) >= 2)
    assert (process.role(), process.registry.ended) == (None, [])
    process.registry.down = False
    await until(lambda: len(process.registry.ended) == 1)


async def test_a_changed_weight_is_the_same_trial(process: Process, release: Any) -> None:
    process.begin(release(weight=0))
    await process.ask(role=process.role())
    process.begin(release(weight=100))
    await process.ask(role=process.role())
    trial = process.releases.observed(release().name).trial
    assert (trial.baseline.calls, trial.candidate.calls) == (1, 1)


@pytest.mark.parametrize("error", [NotFound("no such bundle"), IntegrityError("damaged")])
@pytest.mark.parametrize("shadow", [None, False, True])
async def test_what_serves_is_doubted_once_its_bundle_fails(
    process: Process, release: Any, shadow: bool | None, error: SymbiontError
) -> None:
    """Alone as beside a candidate, or its shadow."""
    tried = None if shadow is None else release(shadow=shadow)
    process.begin(tried)
    process.hosts.error = error
    await process.ask(role=tried and Role(tried, is_candidate=False))
    assert not process.table.is_proven(process.version("x", 1))


@pytest.mark.parametrize("error", [InvalidArgument("input_ids", "an id is outside"), Unavailable("gone")])
async def test_nothing_else_speaks_against_a_bundle(process: Process, error: SymbiontError) -> None:
    process.begin(None)
    process.hosts.error = error
    with suppress(Unavailable):
        await process.ask()
    assert process.table.is_proven(process.version("x", 1))


async def test_a_candidate_that_fails_takes_part_until_a_rule_is_broken(process: Process, release: Any) -> None:
    tried = release(weight=100)
    process.begin(tried)
    process.hosts.error = IntegrityError("damaged")
    await process.ask(role=Role(tried, is_candidate=True))
    assert process.table.is_proven(process.version("x", 2))
    assert process.role() is not None


@pytest.mark.parametrize("tenant", ["", "bank"])
async def test_hosts_are_told_whether_the_caller_has_a_tenant(process: Process, tenant: str) -> None:
    await process.ask(tenant=tenant)
    (turn,) = process.hosts.turns
    assert (turn["tenant"], turn["is_named"]) == (tenant or "x", bool(tenant))


def test_buckets_tell_what_takes_twice_as_long() -> None:
    """Between two of them a quantile is a guess: an alert holds the candidate's against twice the baseline's."""
    assert RELEASE_BUCKETS[0] <= 0.005
    assert RELEASE_BUCKETS[-1] >= 10
    assert all(above / below < 1.26 for below, above in pairwise(RELEASE_BUCKETS))
