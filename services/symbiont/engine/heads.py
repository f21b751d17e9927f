"""Task heads of any size, applied to the rows of one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.engine.row import Floats
from symbiont.engine.runtime import Array, View


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear layer on a view of the hidden states.

    Attributes:
        weight: [outputs, hidden + features].
        bias: [outputs].
        features: how many values stand behind the hidden states of a row.
    """

    view: View
    weight: Array
    bias: Array
    features: int = 0


@dataclass(frozen=True, slots=True)
class NoHead:
    """A view of the hidden states as it is."""

    view: View
    features: int = 0


def apply_heads(
    encoded: Sequence[Array], features: Sequence[Floats], heads: Sequence[Head | NoHead | None]
) -> list[Array]:
    """Returns each row's values, [outputs] or [tokens, outputs], or the row itself where it has no layer.

    One product per head, not per row: the rows of a head are gathered first.
    """
    results = list(encoded)
    rows_of: dict[Head, list[int]] = {}
    for row, head in enumerate(heads):
        if isinstance(head, Head):
            rows_of.setdefault(head, []).append(row)
    for head, rows in rows_of.items():
        computed = _apply(head, [encoded[row] for row in rows], [features[row] for row in rows])
        for row, values in zip(rows, computed, strict=True):
            results[row] = values
    return results


def _apply(head: Head, encoded: Sequence[Array], features: Sequence[Floats]) -> Sequence[Array]:
    if head.view == "tokens":
        values = _linear(head, np.concatenate(encoded))
        return np.split(values, np.cumsum([len(row) for row in encoded[:-1]]))
    inputs = np.stack(encoded)
    return list(_linear(head, np.hstack([inputs, np.stack(features)]) if head.features else inputs))


def _linear(head: Head, inputs: Array) -> Array:
    return np.asarray(inputs @ head.weight.T + head.bias, dtype=np.float32)
