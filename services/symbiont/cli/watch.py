"""Shows jobs while they run: progress bars on a terminal, plain lines elsewhere."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.render import quality, state_text, state_word

# Plain lines of one job's progress are at least this far apart.
LINE_INTERVAL_S = 5.0


class JobDisplay(ABC):
    """Shows the events of one or more jobs, each under a title; may be fed from several threads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027, most displays hold nothing
        """Leaves what was shown last on the screen."""

    @abstractmethod
    def add(self, title: str) -> None:
        """Makes room for a job."""

    def show(self, title: str, event: pb.TrainingEvent) -> None:
        """Shows one event of a job."""
        match event.WhichOneof("event"):
            case "state_change":
                self.state(title, event.state_change)
            case "progress":
                self.progress(title, event.progress)
            case "evaluation":
                self.note(title, f"on {event.evaluation.row_count} held-out rows: {quality(event.evaluation)}")
            case "log_line":
                self.note(title, event.log_line.text)
            case "warning":
                self.note(title, f"warning: {event.warning.text}")
            case "metrics" if "evaluation_loss" in event.metrics.values:
                loss = event.metrics.values["evaluation_loss"]
                self.note(title, f"after step {event.metrics.step}: loss {loss:.3f} on held-out rows")

    def follow(self, title: str, events: Iterable[pb.TrainingEvent]) -> None:
        """Shows the events of a job until they end."""
        self.add(title)
        for event in events:
            self.show(title, event)

    @abstractmethod
    def state(self, title: str, change: pb.StateChange) -> None:
        """Shows a new state."""

    @abstractmethod
    def progress(self, title: str, progress: pb.Progress) -> None:
        """Shows steps done."""

    @abstractmethod
    def note(self, title: str, text: str) -> None:
        """Shows a line of text."""


class BarDisplay(JobDisplay):
    """One progress bar a job, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("[bold]{task.description}[/]"),
            TextColumn("{task.fields[state]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total}"),
            TextColumn("{task.fields[numbers]}"),
            console=console,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def close(self) -> None:
        """Leaves the bars as they are."""
        self._bars.stop()

    def add(self, title: str) -> None:
        """Adds a bar."""
        self._tasks[title] = self._bars.add_task(title, total=None, state="", numbers="")

    def state(self, title: str, change: pb.StateChange) -> None:
        """Shows the state beside the bar; its reason, if it has one, above."""
        self._bars.update(self._tasks[title], state=state_text(change.new_state).markup)
        if change.reason:
            self.note(title, f"{state_word(change.new_state)}: {change.reason}")

    def progress(self, title: str, progress: pb.Progress) -> None:
        """Moves the bar."""
        self._bars.update(
            self._tasks[title], completed=progress.step, total=progress.total_steps, numbers=_numbers(progress)
        )

    def note(self, title: str, text: str) -> None:
        """Prints above the bars."""
        self._bars.console.print(f"[dim]{escape(title)}[/] {escape(text)}")


class LineDisplay(JobDisplay):
    """One line an event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next: dict[str, float] = {}

    def add(self, title: str) -> None:
        """Needs no room."""

    def state(self, title: str, change: pb.StateChange) -> None:
        """Prints the state."""
        reason = f" ({change.reason})" if change.reason else ""
        self.note(title, f"{state_word(change.new_state)}{reason}")

    def progress(self, title: str, progress: pb.Progress) -> None:
        """Prints the steps, unless it did a moment ago."""
        now = time.monotonic()
        if now >= self._next.get(title, 0) or progress.step == progress.total_steps:
            self._next[title] = now + LINE_INTERVAL_S
            self.note(title, f"step {progress.step}/{progress.total_steps} {_numbers(progress)}")

    def note(self, title: str, text: str) -> None:
        """Prints a line."""
        self._console.print(f"{title}: {text}", markup=False, soft_wrap=True)


def job_display(console: Console) -> JobDisplay:
    """Returns the display that fits the console."""
    return BarDisplay(console) if console.is_terminal else LineDisplay(console)


def _numbers(progress: pb.Progress) -> str:
    eta = timedelta(seconds=progress.eta.seconds)
    return f"loss {progress.loss:.3f}  {progress.tokens_per_second:,.0f} tokens/s  ETA {eta}"
