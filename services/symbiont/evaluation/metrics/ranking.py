"""Metrics of an order, with a weight for each row: the area under the ROC curve, average precision, Spearman."""

import numpy as np

from symbiont.evaluation.arrays import Bools, Floats, ratio


class Order:
    """Rows by a value, those of equal values together."""

    def __init__(self, values: Floats) -> None:
        """`values` [rows]."""
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        new = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
        self._starts = np.flatnonzero(new)
        self._group = np.empty(len(values), np.int64)
        self._group[self._order] = np.cumsum(new) - 1

    def sums(self, weights: Floats) -> Floats:
        """Returns the sums [b, groups] of weights [b, rows] of rows of equal values, from the least value on."""
        return self._grouped(np.take(weights, self._order, axis=1))

    def both_sums(self, weights: Floats, positive: Bools) -> tuple[Floats, Floats]:
        """Returns the sums [b, groups] of positive rows, and those of all."""
        ordered = np.take(weights, self._order, axis=1)
        return self._grouped(ordered * positive[self._order]), self._grouped(ordered)

    def ranks(self, weights: Floats) -> Floats:
        """Returns the middle rank [b, rows] of each row when each counts as often as its weight."""
        sums = self.sums(weights)
        return np.take(np.cumsum(sums, axis=1) - sums / 2, self._group, axis=1)

    def _grouped(self, ordered: Floats) -> Floats:
        if len(self._starts) == ordered.shape[1]:
            return ordered
        found: Floats = np.add.reduceat(ordered, self._starts, axis=1)
        return found


def areas(order: Order, positive: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """Returns the area under the ROC curve and the average precision, [b] each.

    The first is the chance that a positive row has a higher value than a negative one, ties counted half; the second
    the mean over positive rows of the precision at their value, as sklearn defines it.
    """
    pos, every = order.both_sums(weights, positive)
    true, total = pos.sum(axis=1), every.sum(axis=1)
    pos_up_to, up_to = np.cumsum(pos, axis=1), np.cumsum(every, axis=1)
    # Of negative rows: those below, and half of those beside.
    below = up_to - pos_up_to - (every - pos) / 2
    auc = ratio(np.einsum("ij,ij->i", pos, below), true * (total - true))
    hits = true[:, None] - pos_up_to + pos
    said = total[:, None] - up_to + every
    precision = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
    return auc, ratio(np.einsum("ij,ij->i", pos, precision), true)


def pearson(one: Floats, other: Floats, weights: Floats) -> Floats:
    """Returns the correlation [b] of values [rows] or [b, rows] under weights [b, rows]."""
    total = weights.sum(axis=1, keepdims=True)
    left = one - ratio((weights * one).sum(axis=1, keepdims=True), total)
    right = other - ratio((weights * other).sum(axis=1, keepdims=True), total)
    both = (weights * left * right).sum(axis=1)
    spread = (weights * left**2).sum(axis=1) * (weights * right**2).sum(axis=1)
    # What rounding leaves of values that are all the same is no spread.
    size = (weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1)
    return ratio(both, np.sqrt(np.where(spread > 1e-24 * size, spread, 0.0)))


def spearman(one: Order, other: Order, weights: Floats) -> Floats:
    """Returns the correlation [b] of the ranks."""
    return pearson(one.ranks(weights), other.ranks(weights), weights)
