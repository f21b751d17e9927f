"""Prefixes of the rows of one batch, each row with its own (Li & Liang, arXiv 2101.00190)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache


@dataclass(frozen=True, slots=True, eq=False)
class TorchPrefix:
    """One prefix on the device: [2 * layers, heads, virtual tokens, head size], a layer's keys before its values."""

    layers: Tensor

    @property
    def length(self) -> int:
        """Virtual tokens."""
        return self.layers.shape[2]


class PrefixBatch:
    """The prefixes of one batch, row by row, as long as the longest; None stands for a row without one."""

    def __init__(self, prefixes: Sequence[TorchPrefix | None], device: torch.device) -> None:
        self.lengths = [0 if prefix is None else prefix.length for prefix in prefixes]
        longest = max(self.lengths)
        self._columns = torch.arange(longest)[None, :] < torch.tensor(self.lengths)[:, None]
        self._columns = self._columns.to(device)
        distinct = list(dict.fromkeys(prefix for prefix in prefixes if prefix is not None))
        stacked = [functional.pad(prefix.layers, (0, 0, 0, longest - prefix.length)) for prefix in distinct]
        # The last one is for rows that have none.
        stacked.append(torch.zeros_like(stacked[0]))
        order = torch.tensor([distinct.index(p) if p is not None else len(distinct) for p in prefixes], device=device)
        # [rows, 2 * layers, heads, longest, head size]
        self._layers = torch.stack(stacked).index_select(0, order)

    def cache(self) -> DynamicCache:
        """Returns them as the keys and values of tokens that came before; the model appends to it."""
        keys, values = self._layers[:, 0::2], self._layers[:, 1::2]
        return DynamicCache([(keys[:, layer], values[:, layer]) for layer in range(keys.shape[1])])

    def extend(self, mask: Tensor) -> Tensor:
        """Returns a mask [rows, tokens] with columns for the virtual tokens before it, false where a row has none."""
        return torch.cat([self._columns, mask], dim=1)
