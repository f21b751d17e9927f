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


def split_holdout(
    labels: Sequence[str], fraction: float, seed: int, sizes: Sequence[int] = ()
) -> tuple[list[int], list[int]]:
    """Splits row numbers into (training, held out), stratified: of every label at least one row on each side.

    `sizes`: how many rows each number stands for. One that is more rows than are to be held out of its label is learnt.
    """
    random = np.random.default_rng([seed, 0x5717])
    sizes = sizes or [1] * len(labels)
    found: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        found.setdefault(label, []).append(number)
    held: set[int] = set()
    for _, numbers in sorted(found.items()):
        count = min(max(round(len(numbers) * fraction), 1), len(numbers) - 1)
        most = max(round(sum(sizes[number] for number in numbers) * fraction), 1)
        order = [int(number) for number in random.permutation(numbers)]
        fitting = [number for number in order if sizes[number] <= most] or [min(order, key=sizes.__getitem__)]
        held.update(fitting[:count])
    return [i for i in range(len(labels)) if i not in held], sorted(held)


def draw(labels: Sequence[str], wanted: int, seed: int) -> list[int]:
    """Returns so many row numbers, or all, drawn so that each label has its share, and at least one row while they
    last."""
    random = np.random.default_rng([seed, 0x4E91])
    places = np.zeros(len(labels))
    for label in sorted(set(labels)):
        rows = np.array([i for i, other in enumerate(labels) if other == label])
        places[random.permutation(rows)] = np.arange(len(rows)) / len(rows)
    return sorted(int(i) for i in np.argsort(places, kind="stable")[:wanted])


def split_groups(groups: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Splits row numbers into (training, held out), whole groups at a time; a row without a group is one of its own.

    Of one group alone nothing can be held out: its rows are on both sides then, as if they had none.
    """
    named = [group or f"\0{number}" for number, group in enumerate(groups)]
    if len(set(named)) < 2:
        named = [str(number) for number in range(len(groups))]
    random = np.random.default_rng([seed, 0x6609])
    order = random.permutation(sorted(set(named)))
    wanted, held = max(round(len(named) * fraction), 1), set[str]()
    counts: dict[str, int] = {}
    for group in named:
        counts[group] = counts.get(group, 0) + 1
    for group in order[:-1]:
        # The one that would go far beyond what is wanted is left out for smaller ones.
        if sum(counts[other] for other in held) + counts[group] / 2 <= wanted:
            held.add(str(group))
    held = held or {str(min(order, key=lambda group: counts[str(group)]))}
    rows = [i for i, group in enumerate(named) if group in held]
    return [i for i, group in enumerate(named) if group not in held], rows
