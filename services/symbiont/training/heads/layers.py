"""The layers of a head: from hidden states, and business fields beside them, to outputs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

DROPOUT = 0.1
# Its name is what it was when it was the only layer, after the dropout: checkpoints have it.
_LAST = "1"


class HeadLayers(nn.Module):
    """Dropout, a gate where there is one, layers each followed by ReLU, and a last one.

    What they compute is told in `bundle/heads.py`, and computed at serving in `engine/heads.py`.
    """

    def __init__(
        self, hidden_size: int, outputs: int, *, features: int = 0, gated: bool = False, hidden: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self._hidden_size = hidden_size
        self.dropout = nn.Dropout(DROPOUT)
        width = hidden_size + features
        self.gate = nn.Linear(width, hidden_size) if gated else None
        self.fields = nn.Linear(features, hidden_size) if gated else None
        sizes = [hidden_size if gated else width, *hidden]
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        self.add_module(_LAST, nn.Linear(sizes[-1], outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Takes [..., hidden size + features], returns [..., outputs]."""
        if self.gate is not None and self.fields is not None:
            hidden, features = inputs[..., : self._hidden_size], inputs[..., self._hidden_size :]
            # As at serving the gate sees the values; dropout is on what comes of them.
            share = self.gate(inputs).sigmoid()
            inputs = share * hidden + (1 - share) * torch.tanh(self.fields(features))
        values = self.dropout(inputs)
        for layer in self.layers:
            values = self.dropout(layer(values).relu())
        outputs: Tensor = self.get_submodule(_LAST)(values)
        return outputs


def tensors_of(module: nn.Module) -> Mapping[str, Tensor]:
    """Returns the tensors of `head.safetensors`; none of a head without layers."""
    return {name.removeprefix(f"{_LAST}."): parameter for name, parameter in module.named_parameters()}
