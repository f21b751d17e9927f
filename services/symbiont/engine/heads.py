"""Task heads of any size, applied to the rows of one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.bundle.manifest import Pooling
from symbiont.engine.runtime import Array


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear head: weight is [labels, hidden], bias is [labels]."""

    pooling: Pooling
    weight: Array
    bias: Array


def apply_heads(pooled: Array, heads: Sequence[Head | None]) -> list[Array]:
    """Returns each row's logits, or the row itself where it has no head.

    One product per head, not per row: the rows of a head are gathered first.
    """
    results = list(pooled)
    rows_of: dict[Head, list[int]] = {}
    for row, head in enumerate(heads):
        if head is not None:
            rows_of.setdefault(head, []).append(row)
    for head, rows in rows_of.items():
        logits = pooled[rows] @ head.weight.T + head.bias
        for row, values in zip(rows, np.asarray(logits, dtype=np.float32), strict=True):
            results[row] = values
    return results
