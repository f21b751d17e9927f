"""The training loop."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from symbiont.training.heads import Criterion
from symbiont.training.spec import Hyperparameters
from symbiont.training.types import Progress
from symbiont.training.worker.batches import epoch_batches
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import Diverged, StopRequested
from symbiont.training.worker.network import Join, Network, pad
from symbiont.training.worker.precision import rounded
from symbiont.training.worker.ranks import Ranks, translated

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
        criterion: Criterion,
        rows: Sequence[Any],
        targets: Tensor,
        hyper: Hyperparameters,
        report: Callable[[Progress], None],
        checkpoint: Callable[[int], None],
        command: Callable[[], Command],
        *,
        micro_batches: int = 0,
        ranks: Ranks | None = None,
        join: Join = pad,
        lengths: Sequence[int] = (),
        in_epoch: Callable[[int], Sequence[Any]] | None = None,
    ) -> None:
        """`rows` are what `join` makes the network's inputs of: arrays of token ids, unless `lengths` says how many
        tokens they were made of. `report` and `checkpoint` are called after whole steps.

        The rows of a step are computed in `micro_batches` parts, of each of which every rank has its share; 0 stands
        for as many as the hyperparameters say. `in_epoch` gives the rows as they are in an epoch, from 0, where that
        differs.
        """
        self.network = network
        self.criterion = criterion
        self.rows = rows
        self.targets = targets
        self.hyper = hyper
        self.report = report
        self.checkpoint = checkpoint
        self.command = command
        self.micro_batches = micro_batches or hyper.accumulation_steps
        self.ranks = ranks or Ranks()
        self._wrapped = self.ranks.wrap(network)
        # Fused: one pass over the parameters where there would be a dozen, of which each reads and writes memory.
        self.optimizer = torch.optim.AdamW(
            _groups(network), lr=hyper.peak_learning_rate, weight_decay=hyper.weight_decay, fused=True
        )
        self.join = join
        self.in_epoch = in_epoch or (lambda _: rows)
        self.lengths = list(lengths) or [len(row) for row in rows]
        self.steps_per_epoch = math.ceil(len(rows) / hyper.rows_per_step)
        self.total_steps = self.steps_per_epoch * hyper.epochs
        network.begin(self.total_steps)
        # To look for them anew in each step takes as long as a step of a small model.
        self._trained = list(network.trainable().values())
        network.train()

    def run(self, first_step: int = 0) -> int:
        """Trains from a step to the end, or until it is to finish; returns the steps done.

        Raises:
            Diverged: a number is not finite.
            RankLost: another rank is gone.
            StopRequested: it was asked to stop, after a checkpoint of the last whole step or to drop everything.
        """
        since, started = Since(), time.monotonic()
        epoch, batches = -1, [torch.empty(0).numpy()]
        for step in range(first_step, self.total_steps):
            if epoch != step // self.steps_per_epoch:
                epoch = step // self.steps_per_epoch
                batches = epoch_batches(self.lengths, self.hyper.rows_per_step, self.hyper.seed, epoch)
                self.rows = self.in_epoch(epoch)
            batch = batches[step % self.steps_per_epoch]
            with translated():
                command, loss, norm = self._step(step, batch)
            since.steps, since.loss = since.steps + 1, since.loss + loss
            since.tokens += sum(self.lengths[i] for i in batch)
            done = step + 1
            over = done == self.total_steps
            if command is Command.DROP:
                raise StopRequested
            if time.monotonic() - since.time > REPORT_SECONDS or over or command:
                self.report(self._progress(done, first_step, norm, since, started))
                since = Since()
            if command or over or done % self.hyper.checkpoint_interval == 0:
                self.checkpoint(done)
            if command is Command.STOP and not over:
                raise StopRequested
            if command is Command.FINISH:
                return done
        return self.total_steps

    def _step(self, step: int, batch: Any) -> tuple[Command, float, float]:
        if not self.network.training:
            self.network.train()
        # Dropout's numbers belong to the step, not to the process: a resumed training draws the same ones.
        _seed(_step_seed(self.hyper.seed, step, self.ranks.rank))
        command, loss = self.ranks.agree(self.command(), self._backward(batch))
        norm = nn.utils.clip_grad_norm_(self._trained, self.hyper.max_gradient_norm)
        if not (math.isfinite(loss) and math.isfinite(norm.item())):
            raise Diverged(f"loss {loss}, gradient norm {norm.item()} at step {step + 1}: lower the learning rate")
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step) * group["ratio"]
        self.optimizer.step()
        self.network.after_step(step + 1)
        self.optimizer.zero_grad()
        return command, loss, norm.item()

    def _backward(self, batch: Any) -> float:
        """Computes the gradients of a step's rows, part by part; returns this rank's part of their mean loss."""
        total = 0.0
        parts = np.array_split(batch, min(self.micro_batches, len(batch)))
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            with nullcontext() if last else self.ranks.without_exchange(self._wrapped):
                total += self._backward_part(part, len(batch), self.network.penalty() if last else None)
        return total

    def _backward_part(self, part: Any, row_count: int, penalty: Tensor | None) -> float:
        rows = self.ranks.share(part)
        # A rank without a row of its own computes one that counts nothing: all must exchange gradients alike.
        chosen = rows if len(rows) else part[:1]
        inputs = self.join([self.rows[i] for i in chosen])
        with rounded(self.hyper.precision, inputs[0].device.type):
            outputs = self._wrapped(*inputs)
        loss = self.criterion(outputs.float(), self.targets[chosen]) * (len(rows) / row_count)
        # The exchange makes the mean over the ranks, and the sum is wanted; every rank has the same penalty.
        whole = loss * self.ranks.count if penalty is None else loss * self.ranks.count + penalty
        whole.backward()  # type: ignore[no-untyped-call]
        return float(loss.item())

    def learning_rate(self, step: int) -> float:
        """Rises linearly over the warm-up, then falls linearly to 0 after the last step."""
        warmup = math.ceil(self.total_steps * self.hyper.warmup_fraction)
        if step < warmup:
            return self.hyper.peak_learning_rate * (step + 1) / warmup
        return self.hyper.peak_learning_rate * (self.total_steps - step) / max(self.total_steps - warmup, 1)

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


def _seed(seed: int) -> None:
    """As `torch.manual_seed`, which keeps a traceback of each call for every kind of device that is not used yet."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def _groups(network: Network) -> list[dict[str, Any]]:
    """Returns the parameters, those that learn equally fast together."""
    groups: dict[float, list[nn.Parameter]] = {}
    ratios = network.learning_rate_ratios()
    for name, parameter in network.trainable().items():
        groups.setdefault(ratios[name], []).append(parameter)
    return [{"params": parameters, "ratio": ratio} for ratio, parameters in groups.items()]


def _step_seed(seed: int, step: int, rank: int) -> int:
    text = f"{seed}:{step}:{rank}" if rank else f"{seed}:{step}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
