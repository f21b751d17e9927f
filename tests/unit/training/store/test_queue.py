"""The queue: recovering jobs first, then by priority and age, within the places of each tenant."""

from datetime import timedelta

import pytest

from symbiont.training import types
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Places, Store
from symbiont.training.types import JobState, WorkerReport

Resolved = tuple[TrainingSpec, types.Inputs]


def queued(store: Store, resolved: Resolved, tenant: str = "default", priority: int = 0) -> str:
    job, _ = store.add_job(*resolved, "", "d", types.Terms(tenant, priority))
    store.validated(job.id, None)
    return job.id


def claimed(store: Store, places: Places, count: int = 10) -> list[str]:
    jobs = [store.claim("me", 60, places) for _ in range(count)]
    return [job.id for job in jobs if job]


def test_the_higher_priority_goes_first_and_then_the_older(store: Store, resolved: Resolved) -> None:
    low, first, second, high = (queued(store, resolved, priority=p) for p in (-5, 0, 0, 7))
    assert claimed(store, Places(10)) == [high, first, second, low]


def test_what_lost_its_worker_goes_before_all(store: Store, resolved: Resolved) -> None:
    lost = queued(store, resolved, priority=-100)
    assert claimed(store, Places(1)) == [lost]
    urgent = queued(store, resolved, priority=100)
    store.lose_attempt(lost, 1, "lost")
    assert claimed(store, Places(2)) == [lost, urgent]


def test_places_are_counted_in_all_and_by_tenant(store: Store, resolved: Resolved) -> None:
    many = [queued(store, resolved, "many", 50) for _ in range(5)]
    few = queued(store, resolved, "few")
    assert claimed(store, Places(4, 2)) == [many[0], many[1], few]
    store.take(WorkerReport(many[0], 1, 1, types.Failure(types.FailureKind.CODE, "x")))
    assert claimed(store, Places(4, 2)) == [many[2]]
    assert claimed(store, Places(3, 0)) == []


def test_a_job_waits_out_its_delay(store: Store, resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    store.max_lost = 9
    job = queued(store, resolved)
    for attempt in (1, 2):
        assert claimed(store, Places(1), 1) == [job]
        store.lose_attempt(job, attempt, "lost")
    assert claimed(store, Places(1)) == []
    later = types.now() + timedelta(seconds=1.1)
    monkeypatch.setattr("symbiont.training.store.queue.now", lambda: later)
    assert claimed(store, Places(1), 1) == [job]


def test_a_claim_is_the_intent_to_launch(store: Store, resolved: Resolved) -> None:
    job = queued(store, resolved)
    claim = store.claim("me", 60, Places())
    assert claim is not None
    assert (claim.id, claim.state, claim.attempt) == (job, JobState.STARTING, 1)
    (active,) = store.active()
    assert (active.id, active.attempt, active.owner, active.heard_time) == (job, 1, "me", None)


def test_leases_run_out_and_are_taken_over_once(store: Store, resolved: Resolved) -> None:
    job = queued(store, resolved)
    store.claim("first", 60, Places())
    assert store.adopt("second", 60) == []
    store.renew("first", -1)
    assert store.adopt("second", 60) == [(job, 1)]
    assert store.adopt("third", 60) == []
    assert store.adopt("third", 60, everyone=True) == [(job, 1)]
    store.renew("second", -1)
    assert store.active()[0].owner == "third"
    assert store.adopt("fourth", 60) == []
