"""How much a training computes: the sizes of everything that it will put through the network, known before it begins.

Which rows make which batch is a pure function of seed and epoch, so nothing here is a guess but the lengths of rows
that were not tokenized.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from symbiont.training.spec import Hyperparameters
from symbiont.training.worker.batches import epoch_batches

# Epochs are alike: beyond so many rows their mean stands for them.
EXACT_ROWS = 2_000_000
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Workload:
    """Parts that are computed one after another, each the rows that go through the network together.

    Arrays [parts]: the number of `rows`, and the tokens of the `longest`, up to which all are padded. All of it is done
    `times` times over.
    """

    rows: Ints
    longest: Ints
    times: float = 1.0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def padded(self) -> Floats:
        """Tokens of each part, padding included."""
        return (self.rows * self.longest).astype(np.float64)

    @property
    def attended(self) -> Floats:
        """Pairs of tokens of each part: what attention looks at."""
        return self.padded * self.longest

    def total(self, cost: "Callable[[Workload], Floats]") -> float:
        """Returns the sum of what each part costs."""
        return self.times * float(cost(self).sum()) if len(self) else 0.0

    def largest(self) -> tuple[int, int]:
        """Returns (rows, tokens of the longest) of the part that takes the most memory."""
        part = int(self.attended.argmax())
        return int(self.rows[part]), int(self.longest[part])


def sizes(parts: Sequence[npt.NDArray[np.int64]], lengths: Ints, times: float = 1.0) -> Workload:
    """Returns the workload of parts given by their row numbers; `lengths` are in tokens."""
    if not parts:
        return Workload(np.zeros(0, np.int64), np.zeros(0, np.int64))
    rows = np.array([len(part) for part in parts], np.int64)
    starts = np.concatenate([[0], np.cumsum(rows)[:-1]])
    return Workload(rows, np.maximum.reduceat(lengths[np.concatenate(parts)], starts), times)


def of_training(lengths: Ints, hyper: Hyperparameters, micro_batches: int, ranks: int) -> Workload:
    """Returns what one rank computes in all steps of all epochs.

    Args:
        lengths: of every row to learn from, in tokens, cut.
        micro_batches: parts of a step.
        ranks: processes that share each part.
    """
    exact = min(max(EXACT_ROWS // max(len(lengths), 1), 1), hyper.epochs)
    parts: list[npt.NDArray[np.int64]] = []
    listed = lengths.tolist()
    for epoch in range(exact):
        for batch in epoch_batches(listed, hyper.rows_per_step, hyper.seed, epoch):
            parts += _shares(batch, micro_batches, ranks)
    return sizes(parts, lengths, hyper.epochs / exact)


def _shares(batch: Ints, micro_batches: int, ranks: int) -> list[Ints]:
    """Cuts a step as the loop does; rank 0 has the longest share of each part."""
    if micro_batches == 1 and ranks == 1:
        return [batch]
    return [part[::ranks] for part in np.array_split(batch, min(micro_batches, len(batch)))]


def of_judging(lengths: Ints, rows_at_a_time: int) -> Workload:
    """Returns what one evaluation computes: rows by length, so many at a time."""
    order = np.argsort(lengths, kind="stable")
    return sizes([order[i : i + rows_at_a_time] for i in range(0, len(order), rows_at_a_time)], lengths)


def steps_of(row_count: int, hyper: Hyperparameters) -> int:
    """Returns the steps of a training."""
    return math.ceil(row_count / hyper.rows_per_step) * hyper.epochs


def checkpoints_of(total_steps: int, hyper: Hyperparameters) -> int:
    """Returns how many checkpoints a training makes: one at each interval, and one at the end."""
    return math.ceil(total_steps / hyper.checkpoint_interval)
