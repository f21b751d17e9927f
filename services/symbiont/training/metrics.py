"""What the training service counts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from threading import Lock
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from symbiont.common.metrics import ServiceMetrics
from symbiont.common.top import OTHER, TopCounters
from symbiont.training.store import WatchedJob
from symbiont.training.types import Job, JobState, ReleaseState

MOST_TENANTS = 50
# Jobs that run and have a label of their own, the oldest first.
MOST_JOBS = 50


class JobSource(Protocol):
    """What knows the jobs."""

    def count_by_state(self) -> dict[JobState, int]:
        """Returns how many jobs are in each state."""
        ...

    def queue_seconds(self) -> float:
        """Returns for how long jobs wait for a place, at most."""
        ...

    def watched(self, also: Collection[str] = ()) -> Sequence[WatchedJob]:
        """Returns the jobs that have a worker or are about to, and those of these ids."""
        ...


class TrainingMetrics(ServiceMetrics):
    """Labels are closed sets: `state` a state of a job or a release, `kind` a kind of report, `tracker` an experiment
    tracker, `tenant` one of those that the settings give a weight, of the `MOST_TENANTS` beside them whose jobs train
    longest, or `other`; but `job` is the id of a job that runs, of at most `MOST_JOBS`. Of what is stored `tenant` is
    one of the `MOST_TENANTS` that store most, or `other`.
    """

    def __init__(self, jobs: JobSource, tenants: Collection[str] = ()) -> None:
        super().__init__("training")
        _Jobs(jobs, self.registry, tenants)
        self._stored = _Stored(self.registry)
        self.reports = Counter(
            "symbiont_training_worker_reports", "Reports of workers taken.", ["kind"], registry=self.registry
        )
        self.reports_fenced = Counter(
            "symbiont_training_worker_reports_fenced", "Reports refused: their attempt is over.", registry=self.registry
        )
        self.worker_streams = Gauge(
            "symbiont_training_worker_streams", "Streams of workers that are open.", registry=self.registry
        )
        self.checkpoints_collected = Counter(
            "symbiont_training_checkpoints_collected", "Checkpoints removed, of no more use.", registry=self.registry
        )
        self.estimate_error = Histogram(
            "symbiont_training_estimate_error_ratio",
            "Real training time over the planned one, less 1, without its sign, of jobs that succeeded.",
            buckets=(0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5),
            registry=self.registry,
        )
        self.attempts_lost = Counter(
            "symbiont_training_attempts_lost", "Workers lost before they had ended their job.", registry=self.registry
        )
        self.tracker_failures = Counter(
            "symbiont_training_tracker_failures",
            "Failures of experiment trackers.",
            ["tracker"],
            registry=self.registry,
        )
        self.dataset_rows = Counter(
            "symbiont_training_dataset_rows", "Rows of datasets stored.", registry=self.registry
        )
        self.dataset_bytes = Counter(
            "symbiont_training_dataset_bytes", "Bytes of datasets uploaded.", registry=self.registry
        )
        self.releases = Counter(
            "symbiont_training_release_calls",
            "Calls that began or ended a release, by the state that it was then in.",
            ["state"],
            registry=self.registry,
        )
        for state in ReleaseState:
            self.releases.labels(state.value)
        self.promotions = Counter("symbiont_training_promotions", "Aliases set.", registry=self.registry)

    def show_stored(self, used: Mapping[str, int]) -> None:
        """Takes the bytes that each tenant stores."""
        self._stored.used = used

    def compare_with_plan(self, job: Job) -> None:
        """Counts how far the time of a job that succeeded was from its plan, where it had one."""
        if job.estimated_seconds:
            self.estimate_error.observe(abs(job.used_seconds / job.estimated_seconds - 1))


class _Stored(Collector):
    """What tenants store, as it was measured last."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.used: Mapping[str, int] = {}
        registry.register(self)

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        stored = GaugeMetricFamily(
            "symbiont_training_tenant_stored_bytes", "Bytes of datasets, checkpoints and versions.", labels=["tenant"]
        )
        by_size = sorted(self.used.items(), key=lambda each: each[1], reverse=True)
        for tenant, size in by_size[:MOST_TENANTS]:
            stored.add_metric([tenant], size)
        if rest := by_size[MOST_TENANTS:]:
            stored.add_metric([OTHER], sum(size for _, size in rest))
        yield stored


class _Jobs(Collector):
    """Asks for jobs when Prometheus asks: the store knows, a counter of our own would forget at a restart.

    Only what jobs use is counted here, from one question to the next: what is used while nobody asks, and of jobs that
    begin and end in between, is in the jobs themselves alone.
    """

    def __init__(self, jobs: JobSource, registry: CollectorRegistry, tenants: Collection[str] = ()) -> None:
        self._jobs = jobs
        self._lock = Lock()
        # Seconds that jobs had used when they were asked for last; nothing before the first time.
        self._known: dict[str, float] | None = None
        tenant = ["tenant"]
        registry.register(self)
        self._usage = TopCounters(
            MOST_TENANTS,
            [
                Counter(
                    "symbiont_training_tenant_worker_seconds",
                    "Time that worker processes were busy, in seconds.",
                    tenant,
                    registry=registry,
                ),
                Counter(
                    "symbiont_training_tenant_cost",
                    "Cost of that, in the currency of the service's price.",
                    tenant,
                    registry=registry,
                ),
            ],
            always=tenants,
        )

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        states = GaugeMetricFamily("symbiont_training_jobs", "Jobs by state.", labels=["state"])
        for state, count in self._jobs.count_by_state().items():
            states.add_metric([state.value], count)
        waiting = "Time that jobs have waited for a place, in seconds, at most; 0 where none does."
        yield states
        yield GaugeMetricFamily("symbiont_training_queue_seconds", waiting, value=self._jobs.queue_seconds())
        running = self._look()
        speed = sum(job.progress.tokens_per_second for job in running if job.trains and job.progress)
        said = "Tokens trained on in a second, by the last reports of the jobs that train now."
        yield GaugeMetricFamily("symbiont_training_tokens_per_second", said, value=speed)
        yield from _by_job(running)

    def _look(self) -> Sequence[WatchedJob]:
        """Returns the jobs that run, and counts what jobs have used since the last time."""
        with self._lock:
            before = self._known
            jobs = self._jobs.watched(tuple(before or ()))
            running = [job for job in jobs if job.active]
            self._known = {job.id: job.seconds for job in running}
            for job in jobs:
                if before is not None and job.id not in before:
                    # What it used in earlier attempts is long counted, or of another process. This one's counts the
                    # next time: Prometheus adds up what a series grows by, and must have seen its tenant's with 0.
                    self._known[job.id] = job.seconds - job.attempt_seconds
                used = job.seconds - before[job.id] if before and job.id in before else 0.0
                worked = max(used, 0.0) * job.ranks
                self._usage.add(job.tenant, worked, worked / 3600 * job.price)
        return running


def _by_job(jobs: Sequence[WatchedJob]) -> Iterator[GaugeMetricFamily]:
    def family(name: str, documentation: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"symbiont_training_job_{name}", documentation, labels=["training_job"])

    steps = family("steps", "Steps that a job which runs has done.")
    total = family("total_steps", "Steps that it is to do.")
    left = family("eta_seconds", "Time that its worker thinks is left, in seconds.")
    running = family("attempt_seconds", "Time since its attempt began, in seconds.")
    for job in jobs[:MOST_JOBS]:
        progress = job.progress
        steps.add_metric([job.id], progress.step if progress else 0)
        running.add_metric([job.id], job.attempt_seconds)
        if progress:
            total.add_metric([job.id], progress.total_steps)
            left.add_metric([job.id], progress.eta_seconds)
    yield from (steps, total, left, running)
