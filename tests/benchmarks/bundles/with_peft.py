"""What PEFT itself offers for many adapters on one base: mixed batches by `adapter_names`, and swapping."""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig
from torch import Tensor

from bundles.making import ALPHA, RANK, TARGETS, lora_encoder


class PeftServer:
    """A base with so many adapters, each computed as PEFT's documents show. Rows are padded to the longest."""

    def __init__(self, base: Path, adapters: int) -> None:
        self._model = lora_encoder(base)
        config = LoraConfig(r=RANK, lora_alpha=int(ALPHA), target_modules=list(TARGETS), init_lora_weights=False)
        self.names = [f"adapter-{number}" for number in range(adapters)]
        for name in self.names:
            self._model.add_adapter(name, config)
        self._model.eval()

    @torch.inference_mode()
    def single(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Computes all rows with one adapter."""
        self._model.set_adapter(self.names[0])
        return self._pooled(rows)

    @torch.inference_mode()
    def mixed(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Computes each row with the next adapter, in one batch."""
        self._model.set_adapter(self.names[0])
        return self._pooled(rows, adapter_names=[self.names[i % len(self.names)] for i in range(len(rows))])

    @torch.inference_mode()
    def swapped(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Computes each row with the next adapter, one batch for each adapter."""
        found = []
        for start, name in enumerate(self.names[: len(rows)]):
            self._model.set_adapter(name)
            found.append(self._pooled(rows[start :: len(self.names)]))
        return torch.cat(found)

    def _pooled(self, rows: Sequence[Sequence[int]], **more: object) -> Tensor:
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        hidden = self._model(input_ids=ids, attention_mask=mask, **more).last_hidden_state
        return (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
