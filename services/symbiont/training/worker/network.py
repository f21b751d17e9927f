"""The network that is trained: frozen base, method, pooling, head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel

from symbiont.training.heads import head_for
from symbiont.training.methods import method_for
from symbiont.training.spec import TrainingSpec


class Network(nn.Module):
    """Token ids in, logits out."""

    def __init__(self, base: nn.Module, head: nn.Module, pooling: str) -> None:
        super().__init__()
        self.base = base
        self.head = head
        self._pooling = pooling

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Takes ids and mask [rows, tokens]; returns logits [rows, outputs]."""
        hidden = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        if self._pooling == "cls":
            return self.head(hidden[:, 0])  # type: ignore[no-any-return]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]

    def trainable(self) -> dict[str, nn.Parameter]:
        """Returns the parameters that learn, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


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
    return Network(method.apply(base, method_settings), module, pooling)


def pad(rows: Sequence["np.ndarray[Any, Any]"]) -> tuple[Tensor, Tensor]:
    """Joins rows of ids into ids and mask [rows, longest]. The pad id is 0 for every base: masked, it has no effect."""
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


@torch.inference_mode()
def infer(network: Network, rows: Sequence["np.ndarray[Any, Any]"], batch_size: int = 64) -> "np.ndarray[Any, Any]":
    """Returns logits [rows, outputs] in the order of the rows; batches are made by length."""
    network.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    logits: list[Any] = [None] * len(rows)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        for i, row in zip(chosen, network(*pad([rows[i] for i in chosen])).float().numpy(), strict=True):
            logits[i] = row
    return np.stack(logits)
