"""Runs the trials of a study as jobs: finds those that were begun before, follows them, and cuts them off."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from symbiont.advisor.curve import Curve
from symbiont.advisor.trials import Trial
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.client import Client, FailedPreconditionError, job_budget
from symbiont.client.watching import has_ended

# Asked after each judged checkpoint of a job that runs; a reason ends it.
Stop = Callable[[Curve], str]
# A job's limit is above 0.
_LEAST_COST = 1e-6


class Listener(Protocol):
    """Is told what a study does; may be called from several threads."""

    def begin(self, title: str, job: pb.TrainingJob) -> None:
        """A job is followed from now on."""

    def event(self, title: str, event: pb.TrainingEvent) -> None:
        """Something happened to a job."""

    def say(self, text: str) -> None:
        """The study has decided something."""


@dataclass(frozen=True)
class Run:
    """A trial with its job, as far as that is; `cut` says why the study ended it."""

    trial: Trial
    job: pb.TrainingJob
    curve: Curve
    cut: str = ""

    @property
    def seconds(self) -> float:
        """Time with a worker."""
        return float(self.job.usage.training_time.ToNanoseconds()) / 1e9

    @property
    def value(self) -> float | None:
        """The measure of the version that was made; None where none was."""
        return self.job.evaluation.metrics.get(self.curve.metric) if self.job.model_version else None


@dataclass(frozen=True)
class Purse:
    """What all jobs of a study together may use; None is without limit."""

    seconds: float | None = None
    cost: float | None = None

    def left(self, used_seconds: float, used_cost: float) -> "Purse":
        """Returns what is left of it."""
        seconds = None if self.seconds is None else self.seconds - used_seconds
        return Purse(seconds, None if self.cost is None else self.cost - used_cost)

    @property
    def empty(self) -> bool:
        """Whether nothing is left of one of the limits."""
        return (self.seconds is not None and self.seconds <= 0) or (self.cost is not None and self.cost <= 0)


@dataclass
class Bench:
    """The jobs of one study on one model.

    Attributes:
        study: begins the request ids of its jobs.
        metric: the measure that its trials are compared by.
        purse: what they may use, all together.
    """

    client: Client
    study: str
    model: str
    metric: str
    listener: Listener
    purse: Purse = field(default_factory=Purse)
    tenant: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        jobs = self.client.list_training_jobs(model=self.model, oldest_first=True)
        # In the order in which they were made.
        self._jobs = {job.request_id: job for job in jobs if job.request_id}
        self._mine = {job.name: job for key, job in self._jobs.items() if key.startswith(f"{self.study}/")}
        self._lock = threading.Lock()
        self._granting = threading.Lock()

    def found(self, trial: Trial) -> bool:
        """Whether the job of a trial is there already."""
        return trial.request_id in self._jobs

    def has(self, job: str) -> bool:
        """Whether a job is one of this study's, as this service and tenant have it."""
        with self._lock:
            return job in self._mine

    def place(self, trial: Trial) -> int:
        """Returns where among all jobs that of a trial stands, the oldest first; those to come are behind them."""
        return list(self._jobs).index(trial.request_id) if self.found(trial) else len(self._jobs)

    def left(self) -> Purse:
        """Returns what the study may still use; what an open job was granted is gone, though it may bring some back."""
        with self._lock:
            taken = [_taken(job) for job in self._mine.values()]
        return self.purse.left(sum(seconds for seconds, _ in taken), sum(cost for _, cost in taken))

    def run(self, trial: Trial, stop: Stop = lambda curve: "", share: int = 1) -> Run:
        """Follows the job of a trial to its end, after making it if it is not there.

        Args:
            stop: may end it; it is not asked of a job that has ended before this.
            share: how many trials share what is left of the purse, those that have their part already included.

        Raises:
            RequestError: the service refuses the job.
        """
        job = self._jobs.get(trial.request_id) or self._create(trial, share)
        self.listener.begin(trial.name, job)
        curve, cut, over = Curve(self.metric), "", has_ended(job.state)
        for event in self.client.watch_training_job(job.name):
            self.listener.event(trial.name, event)
            if not curve.add(event) or cut:
                continue
            reason = stop(curve)
            if reason and (job.state == pb.JOB_STATE_CANCELLED if over else self._cancel(job.name)):
                cut = reason
        job = self.client.get_training_job(job.name)
        with self._lock:
            self._mine[job.name] = job
        return Run(trial, job, curve, cut)

    def _create(self, trial: Trial, share: int) -> pb.TrainingJob:
        # One at a time: what one is granted the next one must not have.
        with self._granting:
            with self._lock:
                running = sum(not has_ended(job.state) for job in self._mine.values())
            left, parts = self.left(), max(share - running, 1)
            budget = job_budget(
                None if left.seconds is None else max(left.seconds / parts, 1.0),
                None if left.cost is None else max(left.cost / parts, _LEAST_COST),
            )
            job = self.client.create_training_job(
                trial.spec, tenant=self.tenant, priority=self.priority, budget=budget, request_id=trial.request_id
            )
            with self._lock:
                self._mine[job.name] = job
        return job

    def _cancel(self, job: str) -> bool:
        try:
            self.client.cancel_training_job(job)
        except FailedPreconditionError:
            # It has just ended by itself, and what it made counts.
            return False
        return True


def _taken(job: pb.TrainingJob) -> tuple[float, float]:
    """Returns seconds and cost that nobody else may have: of a job that has ended what it used."""
    seconds, cost = job.usage.training_time.ToNanoseconds() / 1e9, job.usage.cost
    if not has_ended(job.state):
        seconds = max(seconds, job.budget.training_time.ToNanoseconds() / 1e9)
        cost = max(cost, job.budget.cost)
    return seconds, cost
