"""The layers of a head: from hidden states, and business fields beside them, to outputs."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

DROPOUT = 0.1
# Its name is what it was when it was the only layer, after the dropout: checkpoints have it.
_LAST, _OWN = "1", "own."


class HeadLayers(nn.Module):
    """A gate where there is one, the customer's own layers where there are any, dropout, layers each followed by ReLU,
    and a last one.

    What they compute is told in `bundle/heads.py`, and computed at serving in `engine/heads.py`.
    """

    def __init__(
        self,
        hidden_size: int,
        outputs: int,
        *,
        features: int = 0,
        gated: bool = False,
        hidden: Sequence[int] = (),
        make_own: Callable[[int], tuple[nn.Module, int]] | None = None,
    ) -> None:
        """`make_own` gives the customer's own layers for so many inputs, and how many outputs they have."""
        super().__init__()
        self._hidden_size = hidden_size
        self.dropout = nn.Dropout(DROPOUT)
        width = hidden_size + features
        self.gate = nn.Linear(width, hidden_size) if gated else None
        self.fields = nn.Linear(features, hidden_size) if gated else None
        # How many values the own layers take, and give.
        self.fused = hidden_size if gated else width
        self.own: nn.Module | None = None
        self.own_outputs = self.fused
        if make_own:
            self.own, self.own_outputs = make_own(self.fused)
        sizes = [self.own_outputs, *hidden]
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        self.add_module(_LAST, nn.Linear(sizes[-1], outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Takes [..., hidden size + features], returns [..., outputs]."""
        if self.gate is not None and self.fields is not None:
            hidden, features = inputs[..., : self._hidden_size], inputs[..., self._hidden_size :]
            # As at serving the gate sees the values; dropout is on what comes of them.
            share = self.gate(inputs).sigmoid()
            inputs = share * hidden + (1 - share) * torch.tanh(self.fields(features))
        values = self.dropout(inputs if self.own is None else self._owned(self.own, inputs))
        for layer in self.layers:
            values = self.dropout(layer(values).relu())
        outputs: Tensor = self.get_submodule(_LAST)(values)
        return outputs

    def _owned(self, own: nn.Module, inputs: Tensor) -> Tensor:
        """Returns what the customer's own layers give; a batch norm takes a single row, which has no spread, as it does
        when it serves."""
        norms = [part for part in own.modules() if isinstance(part, _BatchNorm) and part.training]
        alone = norms if len(inputs) == 1 else []
        for norm in alone:
            norm.eval()
        try:
            outputs: Tensor = own(inputs)
        finally:
            for norm in alone:
                norm.train()
        return outputs


def tensors_of(module: nn.Module) -> Mapping[str, Tensor]:
    """Returns the tensors of `head.safetensors`; none of a head without layers, nor those of the customer's own."""
    found = {name.removeprefix(f"{_LAST}."): parameter for name, parameter in module.named_parameters()}
    return {name: parameter for name, parameter in found.items() if not name.startswith(_OWN)}
