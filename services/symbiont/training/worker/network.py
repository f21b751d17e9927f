"""The network that is trained: frozen base, method, pooling, head."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel

from symbiont.training.heads import head_for
from symbiont.training.methods import Method, method_for
from symbiont.training.spec import TrainingSpec


class Network(nn.Module):
    """Token ids in, logits out."""

    def __init__(
        self, base: nn.Module, head: nn.Module, pooling: str, method: Method | None = None, settings: Any = None
    ) -> None:
        """`base` has the parameters of `method` in it already; `settings` are the method's."""
        super().__init__()
        self.base = base
        self.head = head
        self._pooling = pooling
        self._method = method or Method()
        self._settings = settings

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Takes ids and mask [rows, tokens]; returns logits [rows, outputs]."""
        hidden = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        if self._pooling == "cls":
            return self.head(hidden[:, 0])  # type: ignore[no-any-return]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]

    @property
    def leaves_base(self) -> bool:
        """Whether the base gives for a row what it gave before."""
        return self._method.leaves_base

    def bare(self) -> "Network":
        """Returns what gives the pooled hidden states [rows, hidden size] that the head is on."""
        return Network(self.base, nn.Identity(), self._pooling)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Returns the parameters that learn, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def learning_rate_ratios(self) -> dict[str, float]:
        """Returns how many times faster than others each of them learns."""
        return {name: self._method.learning_rate_ratio(name, self._settings) for name in self.trainable()}

    def begin(self, total_steps: int) -> None:
        """Prepares for a training of that length."""
        self._method.begin(self.base, self._settings, total_steps)

    def penalty(self) -> Tensor | None:
        """Returns what the method adds to the loss of a step."""
        return self._method.penalty(self.base, self._settings)

    def after_step(self, step: int) -> None:
        """Lets the method do its part after a step, from 1 on, while the gradients are there."""
        self._method.after_step(self.base, step)

    def method_state(self) -> Mapping[str, Tensor]:
        """Returns what the method's next step depends on beside the weights."""
        return self._method.state(self.base)

    def restore_method(self, state: Mapping[str, Tensor], step: int) -> None:
        """Takes that back, as it was after a step; the weights are back already."""
        self._method.restore(self.base, state, step)


class OnFeatures(Network):
    """The head of a network, on what the base was found to give; the parameters are the network's, name and all."""

    def __init__(self, network: Network) -> None:
        super().__init__(nn.Identity(), network.head, "")

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]  # its rows are others
        """Takes pooled hidden states [rows, hidden size]; returns logits [rows, outputs]."""
        return self.head(features)  # type: ignore[no-any-return]


def build_network(spec: TrainingSpec, base_folder: Path, pooling: str) -> Network:
    """Loads the base and puts method and head on it; their first values follow from the seed."""
    base: Any = AutoModel.from_pretrained(base_folder, dtype=torch.float32, use_safetensors=True)
    # Pooling is ours; left in, the model's own pooler would take adapters that nothing ever trains.
    if hasattr(base, "pooler"):
        base.pooler = None
    torch.manual_seed(spec.hyperparameters.seed)
    method, method_settings = method_for(spec)
    head, head_settings = head_for(spec)
    module = head.build(head_settings, base.config.hidden_size)
    return Network(method.apply(base, method_settings), module, pooling, method, method_settings)


def pad(rows: Sequence["np.ndarray[Any, Any]"]) -> tuple[Tensor, Tensor]:
    """Joins rows of ids into ids and mask [rows, longest]. The pad id is 0 for every base: masked, it has no effect."""
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def stack(rows: Sequence["np.ndarray[Any, Any]"]) -> tuple[Tensor]:
    """Joins rows of features into [rows, hidden size]."""
    return (torch.from_numpy(np.stack(rows)),)


Join = Callable[[Sequence[Any]], tuple[Tensor, ...]]


@torch.inference_mode()
def infer(
    network: Network, rows: Sequence["np.ndarray[Any, Any]"], batch_size: int = 64, join: Join = pad
) -> "np.ndarray[Any, Any]":
    """Returns logits [rows, outputs] in the order of the rows; batches are made by length, and inputs by `join`."""
    network.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    logits: list[Any] = [None] * len(rows)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        for i, row in zip(chosen, network(*join([rows[i] for i in chosen])).float().numpy(), strict=True):
            logits[i] = row
    return np.stack(logits)
