"""What the training service counts."""

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from symbiont.common.metrics import ServiceMetrics
from symbiont.training.types import Job, JobState, ReleaseState


class TrainingMetrics(ServiceMetrics):
    """Labels are closed sets: `state` a state of a job or a release, `kind` a kind of report,
    `tracker` an experiment tracker."""

    def __init__(self, count_by_state: Callable[[], dict[JobState, int]]) -> None:
        super().__init__("training")
        self.registry.register(_JobsByState(count_by_state))
        self.reports = Counter(
            "symbiont_training_worker_reports", "Reports of workers taken.", ["kind"], registry=self.registry
        )
        self.reports_fenced = Counter(
            "symbiont_training_worker_reports_fenced", "Reports refused: their attempt is over.", registry=self.registry
        )
        self.worker_streams = Gauge(
            "symbiont_training_worker_streams", "Streams of workers that are open.", registry=self.registry
        )
        self.tokens_per_second = Gauge(
            "symbiont_training_tokens_per_second",
            "Tokens trained on in a second, by the last report of any worker.",
            registry=self.registry,
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

    def compare_with_plan(self, job: Job) -> None:
        """Counts how far the time of a job that succeeded was from its plan, where it had one."""
        if job.estimated_seconds:
            self.estimate_error.observe(abs(job.used_seconds / job.estimated_seconds - 1))


class _JobsByState(Collector):
    """Counts jobs when Prometheus asks: the store knows, a counter of our own would forget at a restart."""

    def __init__(self, count_by_state: Callable[[], dict[JobState, int]]) -> None:
        self._count_by_state = count_by_state

    @override
    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("symbiont_training_jobs", "Jobs by state.", labels=["state"])
        for state, count in self._count_by_state().items():
            family.add_metric([state.value], count)
        yield family
