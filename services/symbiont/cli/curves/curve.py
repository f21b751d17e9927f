"""One measure of one training job, step by step, as its events tell it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from symbiont.api.training.v1.training_job_pb2 import Progress, TrainingEvent


class Measure(StrEnum):
    """What a curve shows."""

    LOSS = "loss"
    LEARNING_RATE = "learning-rate"
    GRADIENT_NORM = "gradient-norm"
    TOKENS_PER_SECOND = "tokens-per-second"
    EVALUATION_LOSS = "evaluation-loss"

    @property
    def key(self) -> str:
        """The name that events have it under: `learning_rate`."""
        return self.value.replace("-", "_")

    @property
    def words(self) -> str:
        """The name for people: `learning rate`."""
        return self.value.replace("-", " ")


@dataclass(frozen=True)
class Point:
    """A value after so many steps, and the attempt that reported it. The value may be infinite or not a number."""

    attempt: int
    step: int
    value: float


@dataclass(frozen=True)
class Curve:
    """One measure of one job, its steps rising.

    Attributes:
        job: the job's id.
        points: what was reported, without what a later attempt did again.
        last_step: steps done, whether or not the measure was reported with the last of them.
    """

    job: str
    measure: Measure
    points: tuple[Point, ...] = ()
    last_step: int = 0

    def emptiness(self) -> str:
        """Says why there is nothing to show; empty when there is something."""
        if self.points:
            return ""
        if not self.last_step:
            return f"{self.job} has not reported a step yet"
        return f"{self.job} has done {self.last_step} steps and reported no {self.measure.words}"


def curve_of(job: str, measure: Measure, events: Iterable[TrainingEvent]) -> Curve:
    """Returns the curve that the events of one job make, in their order.

    An attempt that follows a lost worker does steps again: its points replace those at and after its first step.
    """
    track = _Track(measure)
    for event in events:
        track.add(event)
    return Curve(job, measure, tuple(track.points), track.step)


class _Track:
    """A curve that grows."""

    def __init__(self, measure: Measure) -> None:
        self.points: list[Point] = []
        self.step = 0
        self._attempt = 0
        self._measure = measure

    def add(self, event: TrainingEvent) -> None:
        match event.WhichOneof("event"):
            case "progress":
                progress = event.progress
                self._put(event.attempt, progress.step, _of_progress(self._measure, progress))
            case "metrics":
                wanted = self._measure is Measure.EVALUATION_LOSS
                value = event.metrics.values.get(self._measure.key) if wanted else None
                self._put(event.attempt, event.metrics.step, value)
            case "evaluation" if self._measure is Measure.EVALUATION_LOSS:
                self._judge(event.attempt, event.evaluation.loss)

    def _put(self, attempt: int, step: int, value: float | None) -> None:
        """Takes note of a step, and of the measure's value when it came with it."""
        if attempt < self._attempt:
            return
        if attempt > self._attempt:
            self._attempt, self.step = attempt, step
            self._cut(step)
        self.step = max(self.step, step)
        if value is not None:
            self._cut(step)
            self.points.append(Point(attempt, step, value))

    def _judge(self, attempt: int, loss: float) -> None:
        """Takes the final judgement, which names no step and stands after the last one."""
        last = self.points[-1] if self.points else None
        # Where the last checkpoint was judged, that is known already; this may be of a better one before it.
        if last is None or (last.step, last.attempt) != (self.step, attempt):
            self._cut(self.step)
            self.points.append(Point(attempt, self.step, loss))

    def _cut(self, step: int) -> None:
        while self.points and self.points[-1].step >= step:
            self.points.pop()


def _of_progress(measure: Measure, progress: Progress) -> float | None:
    if measure is Measure.EVALUATION_LOSS:
        return None
    return float(getattr(progress, measure.key))
