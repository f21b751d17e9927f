"""The store: states and events commit together, reports are taken once, old attempts are refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from symbiont.common.errors import AlreadyExists, FailedPrecondition, NotFound
from symbiont.training import types
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import JobQuery, JobState, WorkerReport

EVALUATION = types.Evaluation(2, 0.5, 0.4, 0.7, ("bad", "good"), ((1, 0), (1, 0)))
PROGRESS = types.Progress(3, 10, 0.3, 0.9, 1e-3, 1.5, 2000.0, 4.0)
S = JobState
Resolved = tuple[TrainingSpec, types.Inputs]


def queued_job(store: Store, resolved: Resolved, **terms: Any) -> str:
    job, _ = store.add_job(*resolved, "", "d", types.Terms(**terms))
    assert store.validated(job.id, None).state is JobState.QUEUED
    return job.id


def running_job(store: Store, resolved: Resolved, **terms: Any) -> str:
    job = queued_job(store, resolved, **terms)
    store.begin_attempt(job)
    store.take(WorkerReport(job, 1, 0, types.Hello(1)))
    return job


def finish(store: Store, job: str, attempt: int = 1, digest: str = "b" * 64, first_seq: int = 1) -> types.Job:
    for seq, report in enumerate([types.EvaluationStarted(), EVALUATION, types.Done(digest)], start=first_seq):
        store.take(WorkerReport(job, attempt, seq, report))
    return store.job(job)


def test_a_job_goes_its_way_and_every_change_is_an_event(store: Store, resolved: Resolved) -> None:
    identifier = running_job(store, resolved)
    job = finish(store, identifier)
    assert job.state is JobState.SUCCEEDED
    assert job.model_version == "models/mood/versions/1"
    assert job.evaluation == EVALUATION
    assert job.start_time
    assert job.end_time
    events = store.events(identifier, 0)
    assert [e.id for e in events] == list(range(1, len(events) + 1))
    states = [e.body.new_state for e in events if isinstance(e.body, types.StateChange)]
    assert states == [S.QUEUED, S.STARTING, S.RUNNING, S.EVALUATING, S.SUCCEEDED]
    assert store.version("mood", 1).evaluation == EVALUATION
    assert store.events(identifier, 3) == events[3:]


def test_a_repeated_report_changes_nothing(store: Store, resolved: Resolved) -> None:
    job = running_job(store, resolved)
    for _ in range(3):
        store.take(WorkerReport(job, 1, 1, PROGRESS))
    assert [e.body for e in store.events(job, 0)].count(PROGRESS) == 1
    assert store.job(job).progress == PROGRESS
    finish(store, job, digest="c" * 64, first_seq=2)
    # The worker did not hear the last acknowledgement and says it all again.
    assert store.take(WorkerReport(job, 1, 4, types.Done("c" * 64))).state is JobState.SUCCEEDED
    assert len(store.versions("mood")) == 1


def test_an_attempt_that_was_replaced_is_refused(store: Store, resolved: Resolved) -> None:
    job = running_job(store, resolved)
    store.lose_attempt(job, 1, "lost")
    with pytest.raises(FailedPrecondition, match="attempt 1") as caught:
        store.take(WorkerReport(job, 1, 1, PROGRESS))
    assert caught.value.reason == "ATTEMPT_FENCED"
    store.begin_attempt(job)
    with pytest.raises(FailedPrecondition):
        store.take(WorkerReport(job, 1, 2, types.Done("b" * 64)))
    assert store.job(job).state is JobState.STARTING
    # The new attempt counts its reports from 1 again.
    store.take(WorkerReport(job, 2, 0, types.Hello(2)))
    store.take(WorkerReport(job, 2, 1, PROGRESS))
    assert store.events(job, 0)[-1].attempt == 2


def test_a_state_may_not_be_skipped(store: Store, resolved: Resolved) -> None:
    job = running_job(store, resolved)
    store.take(WorkerReport(job, 1, 1, EVALUATION))
    before = store.events(job, 0)
    with pytest.raises(FailedPrecondition, match="it cannot become SUCCEEDED"):
        store.take(WorkerReport(job, 1, 2, types.Done("b" * 64)))
    assert store.job(job).state is JobState.RUNNING
    assert store.events(job, 0) == before
    # Neither the number of the report nor the version that it would have made stays behind.
    store.take(WorkerReport(job, 1, 2, types.EvaluationStarted()))
    assert store.models() == []


def test_the_same_request_gives_the_same_job(store: Store, resolved: Resolved) -> None:
    first, new = store.add_job(*resolved, "once", "digest-1")
    again, new_again = store.add_job(*resolved, "once", "digest-1")
    assert (first.id, new, new_again) == (again.id, True, False)
    with pytest.raises(AlreadyExists, match=first.id) as caught:
        store.add_job(*resolved, "once", "digest-2")
    assert caught.value.field == "request_id"
    assert store.add_job(*resolved, "", "digest-2")[0].id != first.id


def test_cancelling_wins_over_work_that_finishes_late(store: Store, resolved: Resolved) -> None:
    job = running_job(store, resolved)
    store.cancel(job, "a caller cancelled it")
    assert finish(store, job).state is JobState.CANCELLED
    with pytest.raises(NotFound):
        store.model("mood")


def test_a_worker_that_stopped_by_itself_recovers(store: Store, resolved: Resolved) -> None:
    job = running_job(store, resolved)
    assert store.take(WorkerReport(job, 1, 1, types.Stopped())).state is JobState.RECOVERING
    assert store.in_state(JobState.RECOVERING) == [job]


def test_a_job_is_given_up_only_when_nothing_moves(store: Store, resolved: Resolved) -> None:
    store.max_lost = 2
    job = running_job(store, resolved)
    for attempt in range(1, 8):
        store.take(WorkerReport(job, attempt, 1, types.CheckpointSaved(attempt, str(attempt) * 64)))
        lost = store.lose_attempt(job, attempt, "lost")
        assert lost is not None
        assert lost.state is JobState.RECOVERING
        store.begin_attempt(job)
        store.take(WorkerReport(job, attempt + 1, 0, types.Hello(1)))
    failed = store.lose_attempt(job, 8, "lost")
    assert failed is not None
    assert failed.failure is not None
    assert (failed.state, failed.failure.kind) == (JobState.FAILED, types.FailureKind.INFRA)
    assert store.lose_attempt(job, 8, "lost") is None


def test_a_failure_is_kept(store: Store, resolved: Resolved) -> None:
    job = running_job(store, resolved)
    failure = types.Failure(types.FailureKind.CONFIG, "loss nan at step 3")
    assert store.take(WorkerReport(job, 1, 1, failure)).failure == failure
    assert store.count_by_state()[JobState.FAILED] == 1


def test_jobs_are_listed_newest_first(store: Store, resolved: Resolved) -> None:
    made = [store.add_job(*resolved, "", "d")[0].id for _ in range(5)]
    first = store.jobs(JobQuery(), None, 3)
    assert [job.id for _, job in first] == made[:1:-1]
    assert [job.id for _, job in store.jobs(JobQuery(), first[-1][0], 3)] == made[1::-1]
    assert store.in_state(JobState.VALIDATING, 2) == made[:2]


def test_jobs_are_listed_by_state_and_model_and_the_oldest_first(store: Store, resolved: Resolved) -> None:
    spec, inputs = resolved
    made = [
        queued_job(store, (spec.model_copy(update={"model": f"models/{model}"}), inputs))
        for model in ("mood", "mood-2", "mood", "mood", "other")
    ]
    store.cancel(made[0], "not wanted")
    store.begin_attempt(made[2])

    def listed(query: JobQuery, after: int | None = None, limit: int = 9) -> list[tuple[int, str]]:
        return [(number, job.id) for number, job in store.jobs(query, after, limit)]

    assert [job for _, job in listed(JobQuery(model="mood"))] == [made[3], made[2], made[0]]
    assert listed(JobQuery(model="moo")) == []
    assert [job for _, job in listed(JobQuery(states=(JobState.QUEUED,)))] == [made[4], made[3], made[1]]
    both = JobQuery((JobState.CANCELLED, JobState.STARTING), "mood", oldest_first=True)
    assert [job for _, job in listed(both)] == [made[0], made[2]]
    ((number, job),) = listed(both, limit=1)
    assert job == made[0]
    assert [job for _, job in listed(both, number)] == [made[2]]


def test_an_alias_moves_and_says_so(store: Store, resolved: Resolved) -> None:
    for digest in ("1" * 64, "2" * 64):
        finish(store, running_job(store, resolved), digest=digest)
    store.set_alias("mood", "production", 1)
    (alias,) = store.aliases_after(0)
    assert alias.version.bundle_digest == "1" * 64
    assert store.set_alias("mood", "production", 2).version.number == 2
    assert store.model("mood").latest_version == 2
    (moved,) = store.aliases_after(alias.revision)
    assert (moved.version.number, moved.revision) == (2, alias.revision + 1)
    assert store.aliases_after(moved.revision) == []
    with pytest.raises(NotFound, match="models/mood/versions/3"):
        store.set_alias("mood", "production", 3)
    assert [v.number for v in store.versions("mood")] == [2, 1]


def test_names_are_taken_by_content(registry: Store) -> None:
    base, dataset = registry.base("tiny"), registry.dataset("rows")
    assert registry.add_base(base).create_time == base.create_time
    assert registry.add_dataset(dataset) == dataset
    other = types.Dataset("rows", "CSV", "text", "label", 1, 1, (("a", 1),), "f" * 64)
    with pytest.raises(AlreadyExists, match="other content"):
        registry.add_dataset(other)
    assert registry.datasets() == [dataset]


def test_everything_is_there_after_a_restart(registry: Store, resolved: Resolved, tmp_path: Path) -> None:
    job = running_job(registry, resolved)
    finish(registry, job)
    registry.set_alias("mood", "production", 1)
    registry.close()
    again = Store(f"sqlite:///{tmp_path}/symbiont.db")
    assert again.job(job) == registry.job(job)
    assert again.base("tiny") == registry.base("tiny")
    assert again.aliases_after(0) == registry.aliases_after(0)
    again.close()


def test_concurrent_reports_leave_no_gap(store: Store, resolved: Resolved) -> None:
    jobs = [running_job(store, resolved) for _ in range(4)]

    def report(job: str) -> None:
        for seq in range(1, 26):
            store.take(WorkerReport(job, 1, seq, PROGRESS))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(report, jobs))
    for job in jobs:
        assert [e.id for e in store.events(job, 0)] == list(range(1, 29))


def test_two_processes_that_say_they_are_one_attempt(store: Store, resolved: Resolved) -> None:
    job = queued_job(store, resolved)
    store.begin_attempt(job)
    store.take(WorkerReport(job, 1, 0, types.Hello(1, "first")))
    store.take(WorkerReport(job, 1, 1, PROGRESS))
    # The first one's stream broke, and it is back.
    store.take(WorkerReport(job, 1, 0, types.Hello(1, "first")))
    with pytest.raises(FailedPrecondition, match="another process's") as caught:
        store.take(WorkerReport(job, 1, 0, types.Hello(2, "second")))
    assert caught.value.reason == "ATTEMPT_FENCED"
    store.lose_attempt(job, 1, "lost")
    store.begin_attempt(job)
    assert store.take(WorkerReport(job, 2, 0, types.Hello(2, "second"))).state is JobState.RUNNING
