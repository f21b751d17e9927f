"""A few steps of a training, by the worker's own loop, each of them timed."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from symbiont.training.heads import Criterion
from symbiont.training.planning.workload import Floats, Workload, sizes
from symbiont.training.spec import Hyperparameters
from symbiont.training.types import Progress
from symbiont.training.worker.batches import epoch_batches
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import StopRequested
from symbiont.training.worker.loop import Loop
from symbiont.training.worker.network import Join, Network, pad

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# The first steps of a process make what later ones use: threads, buffers, code that is compiled.
COLD_STEPS = 3
# And the first ones after a pause find cold caches.
COOL_STEPS = 1
# Longer than any trial: it ends when it is told to.
EPOCHS = 1000


@dataclass
class Timed:
    """Steps that were timed, each of one part; times in seconds, `busy` those of all threads together."""

    rows: list[int] = field(default_factory=list)
    longest: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    def workload(self) -> Workload:
        """Returns what was computed."""
        return Workload(np.array(self.rows, np.int64), np.array(self.longest, np.int64))

    def times(self, *, busy: bool = False) -> Floats:
        """Returns the seconds of each."""
        return np.array(self.busy if busy else self.seconds, np.float64)


class Trial:
    """Trains on rows of the sample for as long as it is told to, and goes on later."""

    def __init__(
        self,
        network: Network,
        criterion: Criterion,
        rows: Sequence[Any],
        targets: "Tensor",
        hyper: Hyperparameters,
        join: Join = pad,
        lengths: Sequence[int] = (),
    ) -> None:
        """`hyper.batch_size` rows make a step here: a part of a step of the job; the rest is the loop's."""
        asked = {"epochs": EPOCHS, "accumulation_steps": 1, "checkpoint_interval": 1_000_000}
        self._hyper = hyper.model_copy(update=asked)
        self._loop = Loop(
            network,
            criterion,
            rows,
            targets,
            self._hyper,
            _nothing,
            _nothing,
            self._command,
            join=join,
            lengths=lengths,
        )
        self._done = 0
        self._until, self._most = 0.0, 0
        self._marks: list[tuple[float, float]] = []
        self.warm, self.cold = Timed(), Timed()

    def run(self, seconds: float, most: int) -> None:
        """Does steps until so many seconds are over or so many steps are done, one at least."""
        self._until, self._most, self._marks = time.monotonic() + seconds, most, []
        with suppress(StopRequested):
            self._loop.run(self._done)
        self._mark()
        times = np.diff(np.array(self._marks), axis=0)
        for number, (taken, busy) in enumerate(times.tolist()):
            cold = number < (COOL_STEPS if self._done else COLD_STEPS)
            self._note(self.cold if cold else self.warm, self._done + number, taken, busy)
        self._done += len(times)

    @property
    def optimizer(self) -> "torch.optim.AdamW":
        """That of the loop."""
        return self._loop.optimizer

    def timed(self) -> Timed:
        """Returns the warm steps; the cold ones, where there are no others."""
        return self.warm if self.warm.seconds else self.cold

    def _command(self) -> Command:
        """Asked by the loop as each step begins."""
        self._mark()
        over = len(self._marks) >= self._most or time.monotonic() > self._until
        return Command.DROP if over else Command.GO

    def _mark(self) -> None:
        self._marks.append((time.monotonic(), time.process_time()))

    def _note(self, timed: Timed, step: int, seconds: float, busy: float) -> None:
        epoch, place = divmod(step, self._loop.steps_per_epoch)
        lengths = self._loop.lengths
        batch = epoch_batches(lengths, self._hyper.batch_size, self._hyper.seed, epoch)[place]
        work = sizes([batch], np.array(lengths))
        timed.rows.append(int(work.rows[0]))
        timed.longest.append(int(work.longest[0]))
        timed.seconds.append(seconds)
        timed.busy.append(busy)


def _nothing(_: Progress | int) -> None:
    """Takes what the loop reports."""
