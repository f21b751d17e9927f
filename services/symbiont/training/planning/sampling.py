"""Which rows a plan tokenizes, and how long it takes the others to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symbiont.training.planning.workload import Ints

# Of the longest texts, all are tokenized: the largest batch is made of them.
LONGEST_ROWS = 16
# Texts of about the same size, one of which lends its length to a text that was not tokenized.
NEIGHBOURS = 2


@dataclass(frozen=True)
class Sample:
    """Row numbers, in order: those drawn at random, and those of the longest texts among the others.

    Only the former are like the whole.
    """

    drawn: Ints
    longest: Ints

    @property
    def rows(self) -> Ints:
        """All of them, the drawn ones first."""
        return np.concatenate([self.drawn, self.longest])


def draw(sizes: Ints, most: int, seed: int) -> Sample:
    """Draws rows, the same ones each time; `sizes` are those of all texts, in characters."""
    count = len(sizes)
    if count <= most:
        return Sample(np.arange(count), np.zeros(0, np.int64))
    drawn = np.sort(np.random.default_rng([seed, 0x9147]).choice(count, most, replace=False))
    others = np.setdiff1d(np.arange(count), drawn, assume_unique=True)
    return Sample(drawn, others[np.argsort(-sizes[others], kind="stable")[:LONGEST_ROWS]])


def lengths_of_all(sizes: Ints, sample: Sample, known: Ints, max_tokens: int, seed: int) -> Ints:
    """Returns the length of every row, in tokens: those that are known, and for the others that of a text of about the
    same size, in proportion to it.

    Args:
        sizes: of all texts, in characters.
        known: of the sample's rows.
        max_tokens: where texts are cut.
    """
    order = np.argsort(sizes[sample.rows], kind="stable")
    near_sizes, near_lengths = np.maximum(sizes[sample.rows][order], 1), known[order]
    random = np.random.default_rng([seed, 0x1E46])
    places = np.searchsorted(near_sizes, sizes) + random.integers(-NEIGHBOURS, NEIGHBOURS + 1, len(sizes))
    places = np.clip(places, 0, len(order) - 1)
    guessed = np.rint(near_lengths[places] * sizes / near_sizes[places])
    lengths: Ints = np.clip(guessed, 1, max_tokens).astype(np.int64)
    lengths[sample.rows] = known
    return lengths


def spread_labels(labels: Sequence[str], most: int, seed: int) -> Ints:
    """Returns at most so many row numbers, in random order but with the labels in turn, so that rare ones are there."""
    random = np.random.default_rng([seed, 0x5EED])
    by_label: dict[str, list[int]] = {}
    for row in random.permutation(len(labels)):
        by_label.setdefault(labels[row], []).append(int(row))
    turns = [(turn, label, row) for label, rows in by_label.items() for turn, row in enumerate(rows)]
    return np.array([row for *_, row in sorted(turns)][:most], np.int64)


def sizes_of(texts: Sequence[str]) -> Ints:
    """Returns the characters of each text."""
    return np.fromiter((len(text) for text in texts), np.int64, len(texts))


def memory_of(count: int, mean_tokens: float) -> float:
    """Returns what so many rows of ids take, in bytes: numbers of eight bytes, and the object around them."""
    overhead: Any = np.zeros(0, np.int64).__sizeof__()
    return count * (8 * mean_tokens + float(overhead))
