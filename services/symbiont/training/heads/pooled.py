"""What heads on one vector for each row have in common."""

from collections.abc import Sequence
from typing import Any

import torch

from symbiont.training.data.rows import Row
from symbiont.training.heads import Encode
from symbiont.training.worker.examples import Example


def single_examples(rows: Sequence[Row], encode: Encode) -> list[Example]:
    """Returns an example for each row: of its text, or of both where it has two."""
    pairs = [row.pair for row in rows] if any(row.pair for row in rows) else []
    encoded = encode([row.text for row in rows], pairs=pairs)
    return [Example(item.ids, item.segment_start) for item in encoded]


def balanced(counts: Any) -> torch.Tensor:
    """Returns a weight for each class by which all count alike, with mean 1 over the rows; 0 for one without rows."""
    counts = torch.as_tensor(counts, dtype=torch.float32)
    present = counts > 0
    weights = torch.zeros_like(counts)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
