"""Which rows make which batch: a pure function of seed and epoch, so that a step number says where the sampler is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Rows are sorted by length within pools of this many batches: little padding, yet every epoch mixes anew.
POOL = 32


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list["np.ndarray[Any, Any]"]:
    """Returns the row numbers of every batch of an epoch; each row occurs once."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    sizes = np.asarray(lengths)
    batches = []
    for start in range(0, len(order), batch_size * POOL):
        pool = order[start : start + batch_size * POOL]
        pool = pool[np.argsort(sizes[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def split_holdout(labels: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Splits row numbers into (training, held out), stratified: of every label at least one row on each side."""
    random = np.random.default_rng([seed, 0x5717])
    held: set[int] = set()
    for label in sorted(set(labels)):
        rows = np.array([i for i, other in enumerate(labels) if other == label])
        count = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
        held.update(int(i) for i in random.permutation(rows)[:count])
    return [i for i in range(len(labels)) if i not in held], sorted(held)
