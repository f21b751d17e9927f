"""Arrays, and the arithmetic on them that several modules need; nothing here warns of a division by 0."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


def log_softmax(logits: npt.ArrayLike) -> Floats:
    """Returns the logarithm of the softmax of each row [rows, classes]."""
    values = np.asarray(logits, np.float64)
    values = values - values.max(axis=1, keepdims=True)
    found: Floats = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return found


def sigmoid(logits: npt.ArrayLike) -> Floats:
    """Returns 1 / (1 + exp(-x)) without overflow, in the same shape."""
    values = np.asarray(logits, np.float64)
    small = np.exp(-np.abs(values))
    found: Floats = np.where(values >= 0, 1.0, small) / (1.0 + small)
    return found


def log_loss_of_sigmoid(logits: npt.ArrayLike, truth: npt.ArrayLike) -> Floats:
    """Returns the cross entropy of each logit with its truth, 0 or 1, in the same shape."""
    values = np.asarray(logits, np.float64)
    found: Floats = np.maximum(values, 0) - values * np.asarray(truth, np.float64) + np.log1p(np.exp(-np.abs(values)))
    return found


def ratio(part: Floats, whole: Floats) -> Floats:
    """Returns part / whole, nan where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return found


def mean_defined(values: Floats) -> Floats:
    """Returns the mean over the last axis of what is not nan; nan where all of it is."""
    there = ~np.isnan(values)
    return ratio(np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))


def defined(value: float) -> float | None:
    """Returns a number, or None for nan."""
    return None if np.isnan(value) else float(value)


def by_code(weights: Floats, codes: Ints, count: int) -> Floats:
    """Returns the sums of weights [b, rows] of the rows of each code, [b, count]; rows of other codes are left out."""
    sums = np.zeros((len(weights), count))
    chosen = np.flatnonzero((codes >= 0) & (codes < count))
    if len(chosen):
        order = chosen[np.argsort(codes[chosen], kind="stable")]
        present, starts = np.unique(codes[order], return_index=True)
        sums[:, present] = np.add.reduceat(np.take(weights, order, axis=1), starts, axis=1)
    return sums


def codes_of(values: Sequence[object]) -> tuple[Ints, list[object]]:
    """Returns the number of each value among the different ones in order of appearance, and these."""
    known: dict[object, int] = {}
    codes = [known.setdefault(value, len(known)) for value in values]
    return np.asarray(codes, np.int64), list(known)
