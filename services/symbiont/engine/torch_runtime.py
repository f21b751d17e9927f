"""The reference runtime: a Hugging Face encoder in torch, on CPU or GPU; hooks on its linear layers add adapters."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.adapters import Adapter
from symbiont.engine.encoders import load_encoder
from symbiont.engine.houlsby import HoulsbyBatch, TorchBottleneck, TorchHoulsby
from symbiont.engine.inputs import Inputs, lay_out
from symbiont.engine.lora import LoraBatch, TorchAdapter
from symbiont.engine.prefix import PrefixBatch, TorchPrefix
from symbiont.engine.runtime import TOLERANCE, Arithmetic, Array, Batch, HostFacts, View
from symbiont.engine.settings import Precision
from symbiont.engine.shift import ShiftBatch, TorchShift


class TorchRuntime:
    """A frozen encoder. Loading it sets torch's thread count for the whole process."""

    def __init__(
        self,
        store: ArtifactStore,
        digest: str,
        *,
        threads: int = 0,
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        """Loads and verifies a base.

        Args:
            store: where it is.
            digest: of the artifact of kind `bases`.
            threads: for one operation; 0 leaves torch's own choice.
            device: as torch names it.
            precision: of the arithmetic; weights, adapters and answers are fp32 all the same.

        Raises:
            NotFound: no such base.
            IntegrityError: the base is damaged, or its manifest does not describe it.
        """
        if threads:
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._arithmetic = _arithmetic(precision, self._device)
        encoder = load_encoder(store, digest)
        self._model, self._facts, self._form = encoder.model, encoder.facts, encoder.form
        self._model.to(self._device)
        self._lora: LoraBatch | None = None
        self._houlsby: HoulsbyBatch | None = None
        self._shift: ShiftBatch | None = None
        for name in {*self._facts.linears, *self._facts.biases}:
            self._model.get_submodule(name).register_forward_hook(self._hook(name))

    @property
    def facts(self) -> HostFacts:
        """The base that is loaded."""
        return self._facts

    @property
    def lanes(self) -> int:
        """One: torch's threads share each operation, and hooks hold the batch's adapters."""
        return 1

    @property
    def tolerance(self) -> float:
        """Of the arithmetic."""
        return TOLERANCE[self._arithmetic]

    def place(self, adapter: Adapter) -> TorchAdapter | TorchHoulsby | TorchShift | TorchPrefix:
        """Copies an adapter to the device, transposed so that a row multiplies it from the left."""

        def move(matrix: Array) -> Tensor:
            return torch.tensor(np.atleast_2d(matrix).copy(), dtype=torch.float32, device=self._device)

        if adapter.prefix is not None:
            heads = adapter.prefix.reshape(*adapter.prefix.shape[:2], self._model.config.num_attention_heads, -1)
            return TorchPrefix(move(heads.swapaxes(1, 2)))
        if adapter.shifts:
            return TorchShift({name: move(shift) for name, shift in adapter.shifts.items()})
        if adapter.bottlenecks:
            layers = {
                name: TorchBottleneck(move(b.down.T), move(b.down_bias), move(b.up.T), move(b.up_bias))
                for name, b in adapter.bottlenecks.items()
            }
            return TorchHoulsby(layers, adapter.activation)
        return TorchAdapter({name: (move(pair.a.T), move(pair.b.T)) for name, pair in adapter.pairs.items()})

    def quantized(self, digest: str, adapter: object) -> None:
        """There is none in torch."""

    @torch.inference_mode()
    def encode(self, batch: Batch) -> Sequence[Array]:
        """Returns for each row [hidden_size], or, of a row viewed by its tokens, [tokens, hidden_size]."""
        lora = [a if isinstance(a, TorchAdapter) else None for a in batch.adapters]
        houlsby = [a if isinstance(a, TorchHoulsby) else None for a in batch.adapters]
        shifts = [a if isinstance(a, TorchShift) else None for a in batch.adapters]
        prefixes = [a if isinstance(a, TorchPrefix) else None for a in batch.adapters]
        self._lora = LoraBatch(lora) if any(lora) else None
        self._houlsby = HoulsbyBatch(houlsby) if any(houlsby) else None
        self._shift = ShiftBatch(shifts) if any(shifts) else None
        prefix = PrefixBatch(prefixes, self._device) if any(prefixes) else None
        later = prefix.lengths if prefix else [0] * len(prefixes)
        inputs = lay_out(self._form, batch.input_ids, batch.segment_starts, later)
        mask = self._move(inputs.mask)
        in_bf16 = self._arithmetic == "bf16"
        try:
            # Matrix products and attention alone: norms and softmax stay fp32.
            with torch.autocast(self._device.type, torch.bfloat16, enabled=in_bf16):
                hidden: Tensor = self._model(**self._arguments(inputs, mask, prefix)).last_hidden_state
        finally:
            self._lora = self._houlsby = self._shift = None
        return _view(hidden.float(), mask, batch.views)

    def _arguments(self, inputs: Inputs, mask: Tensor, prefix: PrefixBatch | None) -> dict[str, Any]:
        arguments: dict[str, Any] = {"input_ids": self._move(inputs.ids), "attention_mask": mask.long()}
        if inputs.types.any():
            arguments["token_type_ids"] = self._move(inputs.types)
        if prefix is not None:
            arguments["attention_mask"] = prefix.extend(mask).long()
            arguments["past_key_values"] = prefix.cache()
            arguments["position_ids"] = self._move(inputs.positions)
        return arguments

    def _move(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def add_adapters(_module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            if self._lora is not None:
                outputs = self._lora.add(name, inputs[0], outputs)
            if self._houlsby is not None:
                outputs = self._houlsby.add(name, outputs)
            return outputs if self._shift is None else self._shift.add(name, outputs)

        return add_adapters


def _arithmetic(precision: Precision, device: torch.device) -> Arithmetic:
    """Returns what a precision means here: `auto` is fp32 on CPU, where this is the reference."""
    if precision == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if precision == "bf16" else "fp32"


def _view(hidden: Tensor, mask: Tensor, views: Sequence[View]) -> Sequence[Array]:
    """hidden is [rows, tokens, hidden_size], mask [rows, tokens]."""
    pooled = list(_pool(hidden, mask, views).cpu().numpy())
    for row, view in enumerate(views):
        if view == "tokens":
            pooled[row] = hidden[row, mask[row]].cpu().numpy()
    return pooled


def _pool(hidden: Tensor, mask: Tensor, views: Sequence[View]) -> Tensor:
    """hidden is [rows, tokens, hidden_size], mask [rows, tokens]; returns [rows, hidden_size]."""
    if set(views) == {"cls"}:
        return hidden[:, 0]
    weights = mask.to(hidden.dtype)[:, :, None]
    mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    if "cls" not in views:
        return mean
    first = torch.tensor([view == "cls" for view in views], device=hidden.device)
    return torch.where(first[:, None], hidden[:, 0], mean)
