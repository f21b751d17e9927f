"""A text as a set of short runs of its characters, by which texts are told to be near each other."""

import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt

Shingles = npt.NDArray[np.uint64]

# A Chinese word has about two characters; of English a run of three is about a syllable.
_CHINESE_LENGTH, _LENGTH = 2, 3
_MIX = np.uint64(0x9E3779B97F4A7C15)


def shingles(text: str) -> Shingles:
    """Returns the hashes of all runs of characters of a text, sorted and each once.

    Case, width and how much space there is do not count.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    points: npt.NDArray[Any] = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if not len(points):
        return points
    # Han, kana and Hangul.
    east = ((points >= 0x3040) & (points <= 0x9FFF)) | ((points >= 0xAC00) & (points <= 0xD7A3))
    pairs = _runs(points, _CHINESE_LENGTH, east, wanted=True)
    others = _runs(points, _LENGTH, east, wanted=False)
    made = np.unique(np.concatenate([pairs, others]))
    return made if len(made) else _hashes(points[None, :])


def _runs(points: Shingles, length: int, east: npt.NDArray[np.bool_], *, wanted: bool) -> Shingles:
    """Returns the hashes of the runs that are of such characters alone, or else of those that are not."""
    if len(points) < length:
        return np.zeros(0, np.uint64)
    view = np.lib.stride_tricks.sliding_window_view
    alone = view(east, length).all(axis=1)
    return _hashes(view(points, length)[alone == wanted])


def _hashes(runs: Shingles) -> Shingles:
    made = np.full(len(runs), runs.shape[1], np.uint64)
    with np.errstate(over="ignore"):
        for column in range(runs.shape[1]):
            made = mixed((made ^ runs[:, column]) * _MIX)
    return made


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spreads numbers over all 64 bits, the same ones always to the same (the end of splitmix64)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def similarity(one: Shingles, other: Shingles) -> float:
    """Returns the Jaccard similarity: the share of what both have in what any has."""
    if not len(one) or not len(other):
        return 0.0
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)
