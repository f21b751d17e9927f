"""How good a job was after each checkpoint, and what compute it had used by then, as its events tell it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from symbiont.api.training.v1 import training_job_pb2 as pb

# Without a worker in these.
_IDLE = (
    pb.JOB_STATE_QUEUED,
    pb.JOB_STATE_RECOVERING,
    pb.JOB_STATE_PAUSED,
    pb.JOB_STATE_SUCCEEDED,
    pb.JOB_STATE_CANCELLED,
    pb.JOB_STATE_FAILED,
)


@dataclass(frozen=True)
class Point:
    """A judged checkpoint: steps done, time with a worker by then in seconds, and the value; more is better."""

    step: int
    seconds: float
    value: float


@dataclass
class Curve:
    """The checkpoints of one job, which grow event by event; what a later attempt does again stands once.

    Attributes:
        metric: name of the measure, as in `Evaluation.metrics`.
        total_steps: steps in all, 0 until the job says so.
        parameters: those of the network, and of these the trained ones; None until the job says so.
    """

    metric: str
    points: list[Point] = field(default_factory=list)
    total_steps: int = 0
    parameters: tuple[int, int] | None = None
    _used: float = 0.0
    _since: float | None = None

    def add(self, event: pb.TrainingEvent) -> bool:
        """Takes an event; returns whether it judged a checkpoint."""
        match event.WhichOneof("event"):
            case "state_change":
                self._change(event.state_change.new_state, _seconds(event.time))
            case "progress":
                self.total_steps = event.progress.total_steps
            case "metrics":
                return self._measure(event)
        return False

    def best_after(self, checkpoints: int) -> float | None:
        """Returns the best value of the first so many checkpoints, None before the first."""
        return max((point.value for point in self.points[:checkpoints]), default=None)

    def _change(self, state: pb.JobState.ValueType, now: float) -> None:
        if state == pb.JOB_STATE_STARTING:
            self._since = now
        elif state in _IDLE and self._since is not None:
            self._used, self._since = self._used + now - self._since, None

    def _measure(self, event: pb.TrainingEvent) -> bool:
        values, step = event.metrics.values, event.metrics.step
        if "trained_parameters" in values:
            self.parameters = int(values["parameters"]), int(values["trained_parameters"])
        value = values.get(f"evaluation_{self.metric}")
        if value is None:
            return False
        while self.points and self.points[-1].step >= step:
            self.points.pop()
        running = _seconds(event.time) - self._since if self._since is not None else 0.0
        self.points.append(Point(step, self._used + running, value))
        return True


def best_so_far(points: Sequence[Point]) -> list[Point]:
    """Returns the points with, as value of each, the best up to there: what stopping there would have kept."""
    found: list[Point] = []
    for point in points:
        best = max(point.value, found[-1].value) if found else point.value
        found.append(Point(point.step, point.seconds, best))
    return found


def _seconds(time: Timestamp) -> float:
    return float(time.ToNanoseconds()) / 1e9
