"""The training loop."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from symbiont.training.heads import Head
from symbiont.training.spec import Hyperparameters
from symbiont.training.types import Progress
from symbiont.training.worker.batches import epoch_batches
from symbiont.training.worker.errors import Diverged, StopRequested
from symbiont.training.worker.network import Network, pad

# A person sees movement at this rate, and the controller is not busy with it.
REPORT_SECONDS = 0.5


@dataclass
class Since:
    """What has happened since the last report."""

    time: float = field(default_factory=time.monotonic)
    steps: int = 0
    loss: float = 0.0
    tokens: int = 0


class Loop:
    """Runs the steps of one training, from any step on: everything random follows from seed and step."""

    def __init__(
        self,
        network: Network,
        head: Head,
        rows: Sequence[Any],
        targets: Tensor,
        hyper: Hyperparameters,
        report: Callable[[Progress], None],
        checkpoint: Callable[[int], None],
        stop_requested: Callable[[], bool],
    ) -> None:
        """`rows` are arrays of token ids; `report` and `checkpoint` are called after whole steps."""
        self.network = network
        self.head = head
        self.rows = rows
        self.targets = targets
        self.hyper = hyper
        self.report = report
        self.checkpoint = checkpoint
        self.stop_requested = stop_requested
        parameters = list(network.trainable().values())
        self.optimizer = torch.optim.AdamW(parameters, lr=hyper.learning_rate, weight_decay=hyper.weight_decay)
        self.lengths = [len(row) for row in rows]
        self.steps_per_epoch = math.ceil(len(rows) / hyper.batch_size)
        self.total_steps = self.steps_per_epoch * hyper.epochs

    def run(self, first_step: int = 0) -> None:
        """Trains from a step to the end.

        Raises:
            Diverged: a number is not finite.
            StopRequested: a checkpoint of the last whole step has been made.
        """
        since, started = Since(), time.monotonic()
        epoch, batches = -1, [torch.empty(0).numpy()]
        for step in range(first_step, self.total_steps):
            if epoch != step // self.steps_per_epoch:
                epoch = step // self.steps_per_epoch
                batches = epoch_batches(self.lengths, self.hyper.batch_size, self.hyper.seed, epoch)
            batch = batches[step % self.steps_per_epoch]
            loss, norm = self._step(step, batch)
            since.steps, since.loss = since.steps + 1, since.loss + loss
            since.tokens += sum(self.lengths[i] for i in batch)
            done = step + 1
            stop = self.stop_requested()
            if stop or done % self.hyper.checkpoint_interval == 0:
                self.checkpoint(done)
            if stop:
                raise StopRequested
            if time.monotonic() - since.time > REPORT_SECONDS or done == self.total_steps:
                self.report(self._progress(done, first_step, norm, since, started))
                since = Since()

    def _step(self, step: int, batch: Any) -> tuple[float, float]:
        self.network.train()
        # Dropout's numbers belong to the step, not to the process: a resumed training draws the same ones.
        torch.manual_seed(_step_seed(self.hyper.seed, step))
        logits = self.network(*pad([self.rows[i] for i in batch]))
        loss = self.head.loss(logits, self.targets[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(list(self.network.trainable().values()), self.hyper.max_gradient_norm)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise Diverged(
                f"loss {loss.item()}, gradient norm {norm.item()} at step {step + 1}: lower the learning rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item(), norm.item()

    def learning_rate(self, step: int) -> float:
        """Rises linearly over the warm-up, then falls linearly to 0 after the last step."""
        warmup = math.ceil(self.total_steps * self.hyper.warmup_fraction)
        if step < warmup:
            return self.hyper.learning_rate * (step + 1) / warmup
        return self.hyper.learning_rate * (self.total_steps - step) / max(self.total_steps - warmup, 1)

    def _progress(self, done: int, first_step: int, norm: float, since: Since, started: float) -> Progress:
        elapsed = time.monotonic() - started
        return Progress(
            step=done,
            total_steps=self.total_steps,
            epoch=done / self.steps_per_epoch,
            loss=since.loss / since.steps,
            learning_rate=self.learning_rate(done - 1),
            gradient_norm=norm,
            tokens_per_second=since.tokens / max(time.monotonic() - since.time, 1e-9),
            eta_seconds=elapsed / (done - first_step) * (self.total_steps - done),
        )


def _step_seed(seed: int, step: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{step}".encode()).digest()[:8]) >> 1
