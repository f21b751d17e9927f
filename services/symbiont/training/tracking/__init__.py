"""Experiment trackers: jobs as curves and tables, in the tools that people already have for them.

A tracker is one file with one `register` call. The key is its word in the setting `trackers`. It is told the events of
each job in order; after a restart it is asked how far it got, so that nothing is missing and nothing is there twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from symbiont.training.types import Event, Job

# Costs nothing but a file, so that every job has its curves.
ALWAYS = "tensorboard"


class Run(Protocol):
    """A job in one tracker. Calls block, and come one after the other from one thread."""

    @property
    def position(self) -> int:
        """The id of the last event that is recorded, 0 for none."""

    def record(self, event: Event, step: int) -> None:
        """Records the next event; `step` is how far the training is with it."""

    def flush(self) -> None:
        """Makes sure that what was recorded outlives this process."""

    def end(self, job: Job) -> None:
        """Says how the job has ended, and closes."""

    def close(self) -> None:
        """Closes a job that goes on later, or elsewhere."""


class Tracker(Protocol):
    """A tool that shows jobs."""

    def begin(self, job: Job, after: int) -> Run:
        """Makes the run of a job, or finds the one that it has; `after` is the last event that was told before."""

    def close(self) -> None:
        """Ends what the tracker runs beside the service; it may be begun with again."""


@dataclass(frozen=True)
class Options:
    """What the trackers are told. `folder` is where they keep files, each in a folder of its own."""

    folder: Path
    wandb_mode: str = "offline"
    wandb_project: str = "symbiont"
    mlflow_tracking_uri: str = ""
    mlflow_experiment: str = "symbiont"


@dataclass(frozen=True)
class _Entry:
    make: Callable[[Options], Tracker]
    package: str
    extra: str


_TRACKERS: dict[str, _Entry] = {}


def register(key: str, make: Callable[[Options], Tracker], *, package: str, extra: str) -> None:
    """Adds a tracker, which needs a Python package that comes with an extra of ours; two of one name are an error."""
    if key in _TRACKERS:
        raise ValueError(f"tracker {key!r} is registered twice")
    _TRACKERS[key] = _Entry(make, package, extra)


def parse_trackers(words: str) -> tuple[str, ...]:
    """Returns the trackers that the setting chooses, with commas between, and the one that is always there.

    Raises:
        ValueError: a word is not that of a tracker, or its package is not installed.
    """
    from symbiont.training.tracking import mlflow, tensorboard, wandb  # noqa: F401, importing registers them

    chosen = dict.fromkeys([ALWAYS, *filter(None, map(str.strip, words.split(",")))])
    for word in chosen:
        if word not in _TRACKERS:
            raise ValueError(f"{word!r} is not a tracker: choose among {', '.join(sorted(_TRACKERS))}")
        entry = _TRACKERS[word]
        if find_spec(entry.package) is None:
            raise ValueError(f"{word} needs a package that is not installed: pip install 'symbiont[{entry.extra}]'")
    return tuple(chosen)


def make_trackers(words: str, options: Options) -> dict[str, Tracker]:
    """Makes the trackers that the setting chooses, by their words; ValueError as in `parse_trackers`."""
    return {word: _TRACKERS[word].make(options) for word in parse_trackers(words)}
