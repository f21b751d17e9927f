"""The training of a probe: how fast the job's steps are, and how much memory the largest of them takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil
import torch

from symbiont.training.heads import head_for
from symbiont.training.planning import workload
from symbiont.training.planning.estimating import EXCHANGE, EXCHANGE_DEVIATION, Part
from symbiont.training.planning.limits import Limits
from symbiont.training.planning.material import Side
from symbiont.training.planning.trial import Trial
from symbiont.training.spec import Hyperparameters
from symbiont.training.worker.attempt import peak_memory_bytes
from symbiont.training.worker.examples import Example
from symbiont.training.worker.network import Join, Network, OnFeatures, pad, stack
from symbiont.training.worker.task import Attempt

# Speed is a matter of time, so this is for what would be too many numbers only.
MOST_STEPS = 5000
# Of one step of the trial: of larger ones it would see too few.
STEP_SECONDS = 2.0
# Of the one largest batch, which is computed for its memory only.
LARGEST_SECONDS = 10.0
CALIBRATION_ROWS, CALIBRATION_STEPS = 4, 3


class Practice:
    """Trains a network on rows of the sample, in several goes."""

    def __init__(self, network: Network, attempt: Attempt, settings: Any, kept: Side, limits: Limits) -> None:
        # Where the base is left as it is, a step computes the head alone, whatever the base gave.
        base: Any = network.base
        beside = len(kept.rows[0].features) if isinstance(kept.rows[0], Example) else 0
        width = base.config.hidden_size + beside if network.leaves_base else 0
        self._network: Network = OnFeatures(network) if width else network
        self._join: Join = stack if width else pad
        self._limits = limits
        self._hyper = attempt.spec.hyperparameters
        self._ranks = attempt.spec.ranks
        self._lengths = [len(row) for row in kept.rows]
        self._rows = [np.zeros(width, np.float32)] * len(kept.rows) if width else list(kept.rows)
        self._targets = kept.material.targets
        head, _ = head_for(attempt.spec)
        self._criterion = head.criterion(settings, self._targets)
        micro_batches = attempt.micro_batches or self._hyper.accumulation_steps
        self.work = workload.of_training(kept.lengths, self._hyper, micro_batches, self._ranks)
        self.steps = workload.steps_of(len(kept.lengths), self._hyper)
        # By how much the largest batch was too large to be tried, in bytes.
        self.beyond = 0.0
        self._initial = {name: value.detach().clone() for name, value in network.trainable().items()}
        self._trial = self._make(self._affordable(max(int(self.work.rows.max()), 1)))

    def go(self, share: float) -> None:
        """Trains for a share of the time that there is."""
        self._trial.run(share * self._limits.train_seconds, MOST_STEPS)

    def try_largest(self) -> None:
        """Computes the largest batch of the job once, for its memory, or as much of it as there is time for."""
        rows, longest = self.work.largest()
        one = workload.Workload(np.array([rows]), np.array([longest]))
        seconds = float(self._limits.pace(self._trial.timed()).seconds(one)[0])
        before = psutil.Process().memory_info().rss
        tried = max(min(rows, int(rows * LARGEST_SECONDS / max(seconds, 1e-9))), 1)
        by_length = sorted(range(len(self._rows)), key=lambda row: -self._lengths[row])
        chosen = [by_length[place % len(by_length)] for place in range(tried)]
        hyper = self._hyper.model_copy(update={"batch_size": tried})
        self._trial_of(chosen, hyper).run(0.0, 1)
        self.beyond = max(peak_memory_bytes() - before, 0.0) * (rows / tried - 1)

    def restore(self) -> None:
        """Makes the network what it was: what was learnt here is not for judging by."""
        with torch.no_grad():
            for name, value in self._network.trainable().items():
                value.copy_(self._initial[name])

    def part(self) -> Part:
        """Returns the time of the whole training; what the first steps take more is in it once."""
        pace, cold = self._limits.pace(self._trial.timed()), self._trial.cold
        first = max(sum(cold.seconds) - float(pace.seconds(cold.workload()).sum()), 0.0)
        seconds = min(first, 5 * max(cold.seconds)) + self.work.total(pace.seconds)
        deviation = self._limits.deviation(pace)
        if self._ranks > 1:
            seconds, deviation = seconds * (1 + EXCHANGE), float(np.hypot(deviation, EXCHANGE_DEVIATION))
        return Part("train", seconds, deviation, shared=True)

    @property
    def optimizer(self) -> torch.optim.AdamW:
        """With the moments that a checkpoint holds."""
        return self._trial.optimizer

    def _make(self, batch_size: int) -> Trial:
        hyper = self._hyper.model_copy(update={"batch_size": batch_size})
        return self._trial_of(range(len(self._rows)), hyper)

    def _trial_of(self, chosen: Sequence[int], hyper: Hyperparameters) -> Trial:
        rows, lengths = [self._rows[row] for row in chosen], [self._lengths[row] for row in chosen]
        return Trial(self._network, self._criterion, rows, self._targets[list(chosen)], hyper, self._join, lengths)

    def _affordable(self, rows: int) -> int:
        """Returns how many rows a step of the trial can have: all of a part's, unless that took too long."""
        first = self._make(min(CALIBRATION_ROWS, rows))
        first.run(STEP_SECONDS, CALIBRATION_STEPS)
        per_token = first.cold.seconds[-1] / first.cold.workload().padded[-1]
        expected = per_token * float(self.work.padded.mean())
        return max(int(rows * min(STEP_SECONDS / expected, 1.0)), 1)
