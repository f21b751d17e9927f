"""What metrics say of jobs: the queue's age, those that run, and what tenants use, counted once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from symbiont.training import types
from symbiont.training.metrics import MOST_JOBS, MOST_TENANTS, TrainingMetrics
from symbiont.training.retries import Verdict
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store, WatchedJob, change, queue, reports, watching
from symbiont.training.types import JobState, WorkerReport, now

PROGRESS = types.Progress(30, 120, 1.5, 0.4, 1e-3, 0.1, 900.0, 45.0)


@dataclass
class Jobs:
    """Jobs that a test sets, as the store would tell of them."""

    known: list[WatchedJob] = field(default_factory=list)

    def count_by_state(self) -> dict[JobState, int]:
        return dict.fromkeys(JobState, 0)

    def queue_seconds(self) -> float:
        return 12.5

    def watched(self, also: Collection[str] = ()) -> Sequence[WatchedJob]:
        return [job for job in self.known if job.active or job.id in also]


def job(number: int, seconds: float, attempt: float, *, active: bool = True, tenant: str = "acme") -> WatchedJob:
    return WatchedJob(f"job-{number}", tenant, active, 2, 3.0, seconds, attempt, PROGRESS, trains=active)


def read(metrics: TrainingMetrics) -> dict[str, dict[str, float]]:
    """Samples by name and by the value of their one label."""
    found: dict[str, dict[str, float]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix("symbiont_training_"), {})["".join(sample.labels.values())] = (
                sample.value
            )
    return found


def test_a_job_that_runs_is_told() -> None:
    metrics = TrainingMetrics(Jobs([job(1, 100.0, 40.0), job(2, 5.0, 5.0, active=False)]))
    found = read(metrics)
    assert found["queue_seconds"] == {"": 12.5}
    assert found["job_steps"] == {"job-1": 30}
    assert found["job_total_steps"] == {"job-1": 120}
    assert found["job_eta_seconds"] == {"job-1": 45}
    assert found["job_attempt_seconds"] == {"job-1": 40}


def test_those_that_store_most_have_a_label() -> None:
    metrics = TrainingMetrics(Jobs())
    metrics.show_stored({f"t{number}": number + 1 for number in range(MOST_TENANTS + 2)})
    found = read(metrics)["tenant_stored_bytes"]
    assert len(found) == MOST_TENANTS + 1
    assert (found["t51"], found["other"]) == (52, 1 + 2)


def test_what_was_used_before_is_not_counted_and_what_ends_is_counted_to_its_end() -> None:
    jobs = Jobs([job(1, 100.0, 40.0)])
    metrics = TrainingMetrics(jobs)
    read(metrics)
    assert read(metrics)["tenant_worker_seconds_total"].get("acme", 0.0) == 0
    # One goes on, and one of which 60 seconds are of an attempt long ago begins again.
    jobs.known = [job(1, 110.0, 50.0), job(2, 64.0, 4.0, tenant="other-one")]
    found = read(metrics)
    assert found["tenant_worker_seconds_total"] == {"acme": 20, "other-one": 0, "other": 0}
    jobs.known = [job(1, 130.0, 0.0, active=False), job(2, 64.0, 4.0, tenant="other-one")]
    for _ in range(2):
        found = read(metrics)
        assert found["tenant_worker_seconds_total"]["acme"] == 60
        assert found["tenant_cost_total"]["acme"] == pytest.approx(60 / 3600 * 3.0)
        assert found["tenant_worker_seconds_total"]["other-one"] == 8


def test_a_tenant_is_seen_with_0_before_anything_counts() -> None:
    """Prometheus adds up what a series grows by: an amount that it begins with is billed to nobody."""
    jobs = Jobs([job(1, 100.0, 40.0)])
    metrics = TrainingMetrics(jobs)
    assert read(metrics)["tenant_worker_seconds_total"]["acme"] == 0
    jobs.known = [job(2, 3.0, 3.0, tenant="night")]
    assert read(metrics)["tenant_worker_seconds_total"]["night"] == 0
    # It ends before it is seen a second time.
    jobs.known = [job(2, 4.0, 0.0, active=False, tenant="night")]
    assert read(metrics)["tenant_worker_seconds_total"]["night"] == 8
    assert read(metrics)["tenant_cost_total"]["night"] == pytest.approx(8 / 3600 * 3.0)
    assert read(metrics)["tenant_worker_seconds_total"]["night"] == 8


def test_a_tenant_with_a_weight_is_counted_by_name_however_many_there_are() -> None:
    jobs = Jobs()
    metrics = TrainingMetrics(jobs, {"bank": 1.0})
    assert read(metrics)["tenant_worker_seconds_total"]["bank"] == 0
    crowd = [job(number, 50.0, 50.0, tenant=f"tenant-{number}") for number in range(MOST_TENANTS + 1)]
    jobs.known = [*crowd, job(9999, 5.0, 5.0, tenant="bank")]
    read(metrics)
    found = read(metrics)["tenant_worker_seconds_total"]
    assert (found["bank"], found["other"]) == (10, 100)


def test_the_speed_is_that_of_the_jobs_that_train_and_nothing_after_the_last() -> None:
    jobs = Jobs([job(1, 100.0, 40.0), job(2, 5.0, 5.0), job(3, 5.0, 5.0)])
    metrics = TrainingMetrics(jobs)
    assert read(metrics)["tokens_per_second"] == {"": 3 * 900}
    # One is judged, and one has not begun to train.
    jobs.known = [jobs.known[0], replace(jobs.known[1], trains=False), replace(jobs.known[2], progress=None)]
    assert read(metrics)["tokens_per_second"] == {"": 900}
    jobs.known = [job(1, 110.0, 0.0, active=False)]
    assert read(metrics)["tokens_per_second"] == {"": 0}


def test_thousands_of_jobs_and_tenants_have_few_labels() -> None:
    jobs = Jobs()
    metrics = TrainingMetrics(jobs)
    read(metrics)
    jobs.known = [job(number, 5.0, 5.0, tenant=f"tenant-{number}") for number in range(3000)]
    read(metrics)
    found = read(metrics)
    assert len(found["job_steps"]) == MOST_JOBS
    assert len(found["tenant_worker_seconds_total"]) == MOST_TENANTS + 1
    assert sum(found["tenant_worker_seconds_total"].values()) == 3000 * 10


def test_the_store_tells_of_jobs(
    store: Store, resolved: tuple[TrainingSpec, types.Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, runs = (store.add_job(*resolved, "", str(number), price=2.0)[0].id for number in range(2))
    for each in (waits, runs):
        store.validated(each, None)
    store.begin_attempt(runs)
    store.take(WorkerReport(runs, 1, 0, types.Hello(1)))
    store.take(WorkerReport(runs, 1, 1, PROGRESS))
    time = now()
    monkeypatch.setattr(watching, "now", lambda: time + timedelta(hours=1))
    assert store.queue_seconds() == pytest.approx(3600, abs=60)
    (watched,) = store.watched()
    assert (watched.id, watched.tenant, watched.active, watched.price) == (runs, "default", True, 2.0)
    assert watched.attempt_seconds == watched.seconds == pytest.approx(3600, abs=60)
    assert (watched.progress, watched.trains) == (PROGRESS, True)
    store.take(WorkerReport(runs, 1, 2, types.EvaluationStarted()))
    assert not store.watched()[0].trains
    assert [each.id for each in store.watched([waits])] == [waits, runs]


def test_a_job_waits_since_it_was_queued_last_or_lost_its_worker(
    store: Store, resolved: tuple[TrainingSpec, types.Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    time = now()

    def pass_time(hours: float) -> None:
        nonlocal time
        time += timedelta(hours=hours)
        for module in (watching, change, queue):
            monkeypatch.setattr(module, "now", lambda: time)

    pass_time(0)
    job = store.add_job(*resolved, "", "")[0].id
    store.validated(job, None)
    pass_time(1)
    assert store.queue_seconds() == pytest.approx(3600, abs=60)
    store.pause(job, "for the night")
    pass_time(2)
    assert store.queue_seconds() == 0
    store.resume(job, "goes on")
    assert store.queue_seconds() == pytest.approx(0, abs=1)
    store.begin_attempt(job)
    pass_time(3)
    assert store.queue_seconds() == 0
    monkeypatch.setattr(reports, "judge", lambda *_: Verdict(1, 600.0))
    gone = types.Failure(types.FailureKind.INFRA, "the worker is gone")
    assert store.take(WorkerReport(job, 1, 1, gone)).state is JobState.RECOVERING
    pass_time(0.1)
    # The next attempt is not due yet: it waits for no place.
    assert store.queue_seconds() == 0
    pass_time(0.4)
    assert store.queue_seconds() == pytest.approx(0.5 * 3600 - 600, abs=60)


def test_an_empty_queue_has_no_age(store: Store) -> None:
    assert store.queue_seconds() == 0
    assert list(store.watched()) == []
