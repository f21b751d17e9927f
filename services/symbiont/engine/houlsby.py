"""Bottleneck adapters of the rows of one batch, each row with its own (Houlsby et al., arXiv 1902.00751)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from symbiont.bundle.manifest import Activation

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": functional.gelu, "relu": functional.relu}


@dataclass(frozen=True, slots=True)
class TorchBottleneck:
    """One module's layers on the device: down [out, size], down_bias [1, size], up [size, out], up_bias [1, out]."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TorchHoulsby:
    """One adapter on the device, by module."""

    modules: Mapping[str, TorchBottleneck]
    activation: Activation


class HoulsbyBatch:
    """The adapters of one batch, row by row; None stands for a row without one."""

    def __init__(self, adapters: Sequence[TorchHoulsby | None]) -> None:
        self._rows_of: dict[Activation, list[int]] = {}
        for row, adapter in enumerate(adapters):
            if adapter is not None:
                self._rows_of.setdefault(adapter.activation, []).append(row)
        self._adapters = adapters

    def add(self, module: str, outputs: Tensor) -> Tensor:
        """Adds what the rows' adapters make of a module's outputs [rows, tokens, out]; changed in place."""
        for activation, rows in self._rows_of.items():
            found = [(row, a.modules[module]) for row in rows if (a := self._adapters[row]) and module in a.modules]
            if found:
                self._add(outputs, found, ACTIVATIONS[activation])
        return outputs

    def _add(
        self, outputs: Tensor, found: Sequence[tuple[int, TorchBottleneck]], activation: Callable[[Tensor], Tensor]
    ) -> None:
        layers: list[TorchBottleneck] = []
        index_of: dict[int, int] = {}
        for _, layer in found:
            if id(layer) not in index_of:
                index_of[id(layer)] = len(layers)
                layers.append(layer)
        order = torch.tensor([index_of[id(layer)] for _, layer in found], device=outputs.device)
        # Each as wide as the widest: a column of zeros stays 0 through the activation.
        size = max(layer.down.shape[1] for layer in layers)

        def gathered(parts: Sequence[Tensor]) -> Tensor:
            return torch.stack(list(parts)).index_select(0, order)

        down = gathered([functional.pad(layer.down, (0, size - layer.down.shape[1])) for layer in layers])
        down_bias = gathered([functional.pad(x.down_bias, (0, size - x.down_bias.shape[1])) for x in layers])
        up = gathered([functional.pad(layer.up, (0, 0, 0, size - layer.up.shape[0])) for layer in layers])
        up_bias = gathered([layer.up_bias for layer in layers])
        rows = torch.tensor([row for row, _ in found], device=outputs.device)
        hidden = activation(outputs.index_select(0, rows) @ down + down_bias)
        # In bf16 products have that type and biases have not.
        outputs.index_add_(0, rows, (hidden @ up + up_bias).to(outputs.dtype))
