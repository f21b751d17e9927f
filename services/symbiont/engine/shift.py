"""Biases of the rows of one batch, each row with its own (BitFit, Ben Zaken et al., arXiv 2106.10199)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TorchShift:
    """One adapter on the device: by how much the bias of a module is another, [1, out], by module."""

    modules: Mapping[str, Tensor]


class ShiftBatch:
    """The adapters of one batch, row by row; None stands for a row without one."""

    def __init__(self, adapters: Sequence[TorchShift | None]) -> None:
        self._adapters = adapters

    def add(self, module: str, outputs: Tensor) -> Tensor:
        """Adds the rows' shifts to what a module gives, [rows, tokens, out]; changed in place."""
        found = [(row, a.modules[module]) for row, a in enumerate(self._adapters) if a and module in a.modules]
        if found:
            rows = torch.tensor([row for row, _ in found], device=outputs.device)
            # In bf16 products have that type and biases have not.
            shifts = torch.stack([shift for _, shift in found]).to(outputs.dtype)
            outputs.index_add_(0, rows, shifts.expand(-1, outputs.shape[1], -1))
        return outputs
