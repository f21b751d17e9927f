"""Quality on the held-out rows, at checkpoints and at the end."""

import math
from collections.abc import Sequence
from typing import Any

from symbiont.training.types import Evaluation, Metrics
from symbiont.training.worker.network import Join, Network, infer, pad
from symbiont.training.worker.task import Attempt, Task

ROWS_AT_A_TIME = 64
# The less, the better.
ERRORS = ("loss", "mae", "mean_cost", "rmse")


def rows_at_a_time(attempt: Attempt) -> int:
    """Returns how many rows are judged at a time: where a worker ran out of memory, fewer."""
    asked = attempt.spec.hyperparameters.accumulation_steps
    return max(ROWS_AT_A_TIME * asked // max(attempt.micro_batches, asked), 1)


class Judge:
    """Judges the network as it is, and knows which checkpoint was the best."""

    def __init__(self, network: Network, attempt: Attempt, task: Task, rows: Sequence[Any], join: Join = pad) -> None:
        """`rows` are what `join` makes the network's inputs of, and what became of the held-out examples of `task`."""
        self._network = network
        self._task = task
        self._rows = rows
        self._join = join
        self._rows_at_a_time = rows_at_a_time(attempt)
        self._metric = attempt.spec.hyperparameters.selection_metric or "loss"
        self._latest: Evaluation | None = None
        self.latest_digest = ""
        # What the rows gave when they were judged last, and what these are: as in `task`, but none is a window.
        self.outputs: Sequence[Any] = ()
        self.judged = task.held
        self.best_digest = attempt.best_digest if attempt.best_loss is not None else ""
        self.best_loss = attempt.best_loss

    def evaluate(self) -> Evaluation:
        """Returns the quality of the network as it is."""
        head, held = self._task.head, self._task.held
        self.outputs, self.judged = head.by_row(
            infer(self._network, self._rows, self._rows_at_a_time, self._join), held
        )
        return head.evaluate(self._task.settings, self.outputs, self.judged)

    def judge(self, digest: str) -> float:
        """Returns the loss of the network, which the checkpoint of this digest holds, or what chooses in its place."""
        self._latest, self.latest_digest = self.evaluate(), digest
        value = dict(self._latest.metrics)[self._metric]
        loss = value if self._metric in ERRORS else -value
        # Nothing is less than nan: a first checkpoint that gives it would be the best one for ever.
        loss = loss if math.isfinite(loss) else math.inf
        if self.best_loss is None or loss < self.best_loss:
            self.best_digest, self.best_loss = digest, loss
        return loss

    def metrics(self, step: int) -> Metrics:
        """Returns what the last judgement found, after a step."""
        if self._latest is None:
            return Metrics(step, ())
        found = self._latest
        return Metrics(step, tuple((f"evaluation_{name}", value) for name, value in found.metrics))
