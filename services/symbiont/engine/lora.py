"""Low-rank adapters of the rows of one batch, each row with its own (as in S-LoRA, arXiv 2311.03285)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True, eq=False)
class TorchAdapter:
    """One adapter on the device: module -> (a [in, rank], b [rank, out]), scaling folded into b."""

    modules: Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What one module needs for a batch.

    rows: which rows have an adapter here, or None for all of them.
    a, b: [rows, in, rank] and [rows, rank, out], or without the first dimension where all rows share one adapter.
    """

    rows: Tensor | None
    a: Tensor
    b: Tensor


class LoraBatch:
    """The adapters of one batch, row by row; None stands for a row without one."""

    def __init__(self, adapters: Sequence[TorchAdapter | None]) -> None:
        self._adapters = adapters

    def add(self, module: str, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Adds what the rows' adapters say about this module; rows without one are not touched.

        Args:
            module: dotted name.
            inputs: [rows, tokens, in].
            outputs: [rows, tokens, out], of the frozen module; changed in place.
        """
        gathered = self._gather(module, inputs.device)
        if gathered is None:
            return outputs
        if gathered.rows is None:
            return outputs.add_(inputs @ gathered.a @ gathered.b)
        delta = inputs.index_select(0, gathered.rows) @ gathered.a @ gathered.b
        return outputs.index_add_(0, gathered.rows, delta)

    def _gather(self, module: str, device: torch.device) -> _Gathered | None:
        rows: list[int] = []
        pairs: list[tuple[Tensor, Tensor]] = []
        index: list[int] = []
        position_of: dict[TorchAdapter, int] = {}
        for row, adapter in enumerate(self._adapters):
            if adapter is None or module not in adapter.modules:
                continue
            if adapter not in position_of:
                position_of[adapter] = len(pairs)
                pairs.append(adapter.modules[module])
            rows.append(row)
            index.append(position_of[adapter])
        if not rows:
            return None
        selected = None if len(rows) == len(self._adapters) else torch.tensor(rows, device=device)
        if len(pairs) == 1:
            return _Gathered(selected, *pairs[0])
        rank = max(b.shape[0] for _, b in pairs)
        a = torch.stack([functional.pad(a, (0, rank - a.shape[1])) for a, _ in pairs])
        b = torch.stack([functional.pad(b, (0, 0, 0, rank - b.shape[0])) for _, b in pairs])
        if len(pairs) < len(rows):
            order = torch.tensor(index, device=device)
            a, b = a.index_select(0, order), b.index_select(0, order)
        return _Gathered(selected, a, b)
