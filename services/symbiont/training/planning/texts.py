"""What the texts of a dataset are like, and what is wrong with its rows."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.training.planning.types import LabelShare, TextReport
from symbiont.training.planning.workload import Ints

MOST_LANGUAGES = 5
UNDETERMINED = "und"


@dataclass(frozen=True)
class Words:
    """What the tokenization service says of a sample: (ISO 639-1 code, share), and the share of unknown tokens."""

    languages: tuple[tuple[str, float], ...]
    unknown_fraction: float


@dataclass(frozen=True)
class Repetition:
    """What occurs more than once: the share of such texts, and how many texts have more than one label."""

    duplicate_fraction: float
    contradictory_count: int


def repetition(texts: Sequence[str], labels: Sequence[str]) -> Repetition:
    """Compares all texts, but for white space around them and between their words."""
    _, which, counts = np.unique(hashes(texts), return_inverse=True, return_counts=True)
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    pairs = which.astype(np.int64) * len(numbers) + np.array([numbers[label] for label in labels])
    labels_of_each = np.bincount(np.unique(pairs) // len(numbers))
    return Repetition(float((counts[which] > 1).mean()), int((labels_of_each > 1).sum()))


def hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Returns a number for each text, the same one for texts that differ in white space only."""
    digests = (hashlib.blake2b(" ".join(text.split()).encode(), digest_size=8).digest() for text in texts)
    return np.fromiter((int.from_bytes(digest) for digest in digests), np.uint64, len(texts))


def report(row_count: int, lengths: Ints, max_tokens: int, repeated: Repetition, words: Words) -> TextReport:
    """Puts the report together.

    Args:
        row_count: of the dataset.
        lengths: of a sample of its texts, in tokens, uncut.
        max_tokens: where they are going to be cut.
    """
    ordered = np.sort(lengths)
    known = [(code, share) for code, share in words.languages if code != UNDETERMINED]
    return TextReport(
        row_count=row_count,
        mean_tokens=float(ordered.mean()),
        median_tokens=nearest_rank(ordered, 50),
        p95_tokens=nearest_rank(ordered, 95),
        max_tokens=int(ordered[-1]),
        cut_fraction=float((ordered > max_tokens).mean()),
        duplicate_fraction=repeated.duplicate_fraction,
        contradictory_count=repeated.contradictory_count,
        unknown_fraction=words.unknown_fraction,
        languages=tuple(known[:MOST_LANGUAGES]),
    )


def nearest_rank(ordered: "npt.NDArray[Any]", percent: int) -> int:
    """Returns the least of sorted numbers that so many percent do not exceed."""
    return int(ordered[math.ceil(percent * len(ordered) / 100) - 1])


def shares(names: Sequence[str], labels: Sequence[str]) -> tuple[LabelShare, ...]:
    """Returns how many of the rows have each label, in the order of `names`."""
    counts = Counter(labels)
    return tuple(LabelShare(name, counts[name], counts[name] / len(labels)) for name in names)
