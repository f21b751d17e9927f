"""What heads on one vector for each row have in common."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from symbiont.training.data.rows import Row
from symbiont.training.heads import Encode, Material
from symbiont.training.worker.examples import Example

# Below the least logit that there is: e to its power is nothing.
UNKNOWN = 40.0


def pooled_material(rows: Sequence[Row], targets: torch.Tensor, encode: Encode) -> Material:
    """Returns rows with an example for each, of its text or of both where it has two, or one for each of its windows.

    `targets` has an entry for each row; a window has that of its row.
    """
    pairs = [row.pair for row in rows] if any(row.pair for row in rows) else []
    encoded = encode([row.text for row in rows], pairs=pairs)
    examples = [Example(item.ids, item.segment_start) for item in encoded]
    if len(examples) == len(rows):
        return Material(examples, targets, rows)
    return Material(examples, targets[[item.text for item in encoded]], rows, encoded)


def balanced(counts: Any) -> torch.Tensor:
    """Returns a weight for each class by which all count alike, with mean 1 over the rows; 0 for one without rows."""
    counts = torch.as_tensor(counts, dtype=torch.float32)
    present = counts > 0
    weights = torch.zeros_like(counts)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def grown(labels: Sequence[str], seen: Iterable[str]) -> tuple[str, ...]:
    """Returns labels, and behind them those that were seen beside them, sorted."""
    return (*labels, *sorted(set(seen) - set(labels)))


def stacked(outputs: Sequence["np.ndarray[Any, Any]"], labels: int) -> "np.ndarray[Any, Any]":
    """Returns logits [rows, labels]; a label that the head has no output for is never said."""
    logits = np.stack(outputs).astype(np.float32)
    unknown = labels - logits.shape[1]
    return np.pad(logits, ((0, 0), (0, unknown)), constant_values=float(logits.min()) - UNKNOWN)
