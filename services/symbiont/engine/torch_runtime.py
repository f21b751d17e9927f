"""The reference runtime: a Hugging Face encoder in torch, on CPU or GPU; hooks on its linear layers add adapters."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from symbiont.bundle.heads import Pooling
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError
from symbiont.engine.adapters import Adapter
from symbiont.engine.houlsby import HoulsbyBatch, TorchBottleneck, TorchHoulsby
from symbiont.engine.lora import LoraBatch, TorchAdapter
from symbiont.engine.runtime import Array, Batch, HostFacts, View

KIND = "bases"


class _BaseFields(BaseModel):
    """What this runtime needs of a base's manifest; the rest of it is for others."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["base"]
    format_version: Literal[1]
    pooling: Pooling
    hidden_size: int
    max_length: int


class TorchRuntime:
    """A frozen encoder. Loading it sets torch's thread count for the whole process."""

    def __init__(self, store: ArtifactStore, digest: str, *, threads: int = 0, device: str = "cpu") -> None:
        """Loads and verifies a base.

        Args:
            store: where it is.
            digest: of the artifact of kind `bases`.
            threads: for one operation; 0 leaves torch's own choice.
            device: as torch names it, or `auto` for a GPU where there is one.

        Raises:
            NotFound: no such base.
            IntegrityError: the base is damaged, or its manifest does not describe it.
        """
        if threads:
            torch.set_num_threads(threads)
        self._device = torch.device(_choose(device))
        fields = _read_fields(store, digest)
        self._model: PreTrainedModel = AutoModel.from_pretrained(
            store.path(KIND, digest), dtype=torch.float32, local_files_only=True
        )
        # Pooling is the engine's: nobody reads the model's own, and an adapter for "dense" would seem to lack a part.
        if hasattr(self._model, "pooler"):
            self._model.pooler = None
        self._model.requires_grad_(False).eval().to(self._device)
        self._facts = _facts(digest, fields, self._model)
        self._padding = self._model.config.pad_token_id or 0
        # Others of their kind have no such argument, or an embedding of one type, which tells nothing apart.
        self._has_types = getattr(self._model.config, "type_vocab_size", 0) > 1
        self._lora: LoraBatch | None = None
        self._houlsby: HoulsbyBatch | None = None
        for name in self._facts.linears:
            self._model.get_submodule(name).register_forward_hook(self._hook(name))

    @property
    def facts(self) -> HostFacts:
        """The base that is loaded."""
        return self._facts

    def place(self, adapter: Adapter) -> TorchAdapter | TorchHoulsby:
        """Copies an adapter to the device, transposed so that a row multiplies it from the left."""

        def move(matrix: Array) -> Tensor:
            return torch.tensor(np.atleast_2d(matrix).copy(), dtype=torch.float32, device=self._device)

        if adapter.bottlenecks:
            layers = {
                name: TorchBottleneck(move(b.down.T), move(b.down_bias), move(b.up.T), move(b.up_bias))
                for name, b in adapter.bottlenecks.items()
            }
            return TorchHoulsby(layers, adapter.activation)
        return TorchAdapter({name: (move(pair.a.T), move(pair.b.T)) for name, pair in adapter.pairs.items()})

    @torch.inference_mode()
    def encode(self, batch: Batch) -> Sequence[Array]:
        """Returns for each row [hidden_size], or, of a row viewed by its tokens, [tokens, hidden_size]."""
        lengths = torch.tensor([len(ids) for ids in batch.input_ids], device=self._device)
        rows = [torch.tensor(ids, dtype=torch.long, device=self._device) for ids in batch.input_ids]
        input_ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self._padding)
        mask = torch.arange(input_ids.shape[1], device=self._device)[None, :] < lengths[:, None]
        lora = [a if isinstance(a, TorchAdapter) else None for a in batch.adapters]
        houlsby = [a if isinstance(a, TorchHoulsby) else None for a in batch.adapters]
        self._lora = LoraBatch(lora) if any(lora) else None
        self._houlsby = HoulsbyBatch(houlsby) if any(houlsby) else None
        try:
            types = self._types(batch.segment_starts, mask)
            hidden: Tensor = self._model(input_ids=input_ids, attention_mask=mask.long(), **types).last_hidden_state
        finally:
            self._lora = self._houlsby = None
        return _view(hidden, mask, batch.views)

    def _types(self, segment_starts: Sequence[int], mask: Tensor) -> dict[str, Tensor]:
        if not self._has_types or not any(segment_starts):
            return {}
        starts = torch.tensor([start or mask.shape[1] for start in segment_starts], device=self._device)
        second = torch.arange(mask.shape[1], device=self._device)[None, :] >= starts[:, None]
        return {"token_type_ids": (second & mask).long()}

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def add_adapters(_module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            if self._lora is not None:
                outputs = self._lora.add(name, inputs[0], outputs)
            return outputs if self._houlsby is None else self._houlsby.add(name, outputs)

        return add_adapters


def _choose(device: str) -> str:
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _read_fields(store: ArtifactStore, digest: str) -> _BaseFields:
    try:
        return _BaseFields.model_validate(store.manifest(KIND, digest))
    except ValidationError as exc:
        raise IntegrityError(f"{KIND}/{digest}: the manifest does not describe a base") from exc


def _facts(digest: str, fields: _BaseFields, model: PreTrainedModel) -> HostFacts:
    config = model.config
    if config.hidden_size != fields.hidden_size:
        raise IntegrityError(f"{KIND}/{digest}: hidden_size is {config.hidden_size}, not {fields.hidden_size}")
    positions = config.max_position_embeddings
    if fields.max_length > positions:
        raise IntegrityError(f"{KIND}/{digest}: max_length {fields.max_length} is more than its {positions} positions")
    linears = {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    return HostFacts(
        digest=digest,
        hidden_size=config.hidden_size,
        max_length=fields.max_length,
        vocab_size=config.vocab_size,
        pooling=fields.pooling,
        linears=linears,
    )


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
