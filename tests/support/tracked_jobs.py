"""Jobs and their events, as trackers are told of them, and what TensorBoard reads of its files."""

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.registry import tiny_spec
from symbiont.training import types
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.tracking import Run
from symbiont.training.tracking.reading import Steps
from symbiont.training.types import Event, EventBody, Inputs, Job, JobState, StateChange, WorkerReport

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LABELS = ("好评", "差评")


def job(identifier: str = "job-1", **changes: Any) -> Job:
    """A job on a Chinese model, which no request could name, with labels that nobody may see."""
    spec = tiny_spec(classification={"labels": LABELS}).model_copy(update={"model": "models/心情"})
    inputs = Inputs("a" * 64, "b" * 64, "c" * 64, "", "mean")
    return Job(identifier, spec, inputs, changes.pop("state", JobState.RUNNING), create_time=START, **changes)


def progress(step: int, loss: float | None = None) -> types.Progress:
    """Numbers that are exact in single precision."""
    return types.Progress(step, 100, step / 10, 1 / 2**step if loss is None else loss, 0.25, 1.5, 2048.0, 1.0)


def judged(step: int, loss: float) -> types.Metrics:
    """What a judgement of a checkpoint finds."""
    values = {"evaluation_accuracy": 0.5, "evaluation_loss": loss, "evaluation_macro_f1": 0.75}
    return types.Metrics(step, tuple(values.items()))


def evaluation(loss: float) -> types.Evaluation:
    """The last judgement, with what is the customer's."""
    return types.Evaluation(10, 0.5, 0.75, loss, LABELS, ((3, 2), (3, 2)))


def state(new: JobState, reason: str = "so it goes", version: str = "") -> StateChange:
    """A change of state, from one that does not matter."""
    return StateChange(JobState.QUEUED, new, reason, version)


def numbered(*bodies: EventBody | int, first: int = 1) -> list[Event]:
    """Events a second apart; a number among them begins the attempt of that number."""
    found: list[Event] = []
    attempt = 1
    for body in bodies:
        if isinstance(body, int):
            attempt = body
            continue
        identifier = first + len(found)
        found.append(Event("job-1", identifier, START + timedelta(seconds=identifier), attempt, body))
    return found


class StoredJob:
    """A job in a store, whose worker says what the test wants it to."""

    def __init__(self, store: Store, inputs: Inputs, number: int = 1, spec: TrainingSpec | None = None) -> None:
        self.store = store
        asked = spec or tiny_spec(classification={"labels": LABELS})
        made, _ = store.add_job(asked, inputs, "", f"{number:064d}")
        self.id = made.id
        self._seq = 0

    def start(self) -> "StoredJob":
        """Queues it, and begins its first or next attempt."""
        self.store.validated(self.id, None)
        self._attempt = self.store.begin_attempt(self.id, "controller", 60).attempt
        self._seq = 0
        return self.say(types.Hello(1))

    def say(self, *reports: types.Report) -> "StoredJob":
        """Takes reports of its worker."""
        for report in reports:
            self._seq += 1
            self.store.take(WorkerReport(self.id, self._attempt, self._seq, report))
        return self

    def lose(self) -> "StoredJob":
        """Its worker is gone."""
        self.store.lose_attempt(self.id, self._attempt, "it was killed")
        return self

    def finish(self) -> "StoredJob":
        """Its worker does the rest."""
        return self.say(types.EvaluationStarted(), evaluation(0.5), types.Done("d" * 64))

    @property
    def events(self) -> list[Event]:
        """What has happened."""
        return self.store.events(self.id, 0, 10_000)


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns the numbers that TensorBoard shows of a folder: tag -> (step, value)."""
    accumulated = accumulator(folder)
    return {tag: [(e.step, e.value) for e in accumulated.Scalars(tag)] for tag in accumulated.Tags()["scalars"]}


def times(folder: Path, tag: str) -> list[float]:
    """Returns when the numbers of a tag were, in seconds of the epoch."""
    return [e.wall_time for e in accumulator(folder).Scalars(tag)]


def texts(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Returns the texts that TensorBoard shows of a folder: tag -> (step, markdown)."""
    accumulated = accumulator(folder)
    return {
        tag: [(e.step, e.tensor_proto.string_val[0].decode()) for e in accumulated.Tensors(tag)]
        for tag in accumulated.Tags()["tensors"]
        if not tag.startswith("_")
    }


def accumulator(folder: Path) -> Any:
    """Returns what TensorBoard makes of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"scalars": 0, "tensors": 0}
    accumulated = EventAccumulator(str(folder), size_guidance=everything)
    with warnings.catch_warnings():
        # It cannot use TensorFlow's reader, which is not there.
        warnings.simplefilter("ignore")
        accumulated.Reload()
    return accumulated


def tell(run: Run, events: list[Event]) -> None:
    """Tells a run what it has not recorded yet."""
    steps = Steps()
    for event in events:
        step = steps.after(event)
        if event.id > run.position:
            run.record(event, step)
    run.flush()
