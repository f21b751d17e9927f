"""What every runtime needs of a base: loading it from the store, its facts, and the form of its inputs."""

import inspect
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn
from transformers import AutoModel, PreTrainedModel

from symbiont.bundle.heads import Pooling
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError
from symbiont.engine.adapters import PrefixShape
from symbiont.engine.inputs import InputForm
from symbiont.engine.runtime import HostFacts

KIND = "bases"


class _BaseFields(BaseModel):
    """What a runtime needs of a base's manifest; the rest of it is for others."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["base"]
    format_version: Literal[1]
    pooling: Pooling
    hidden_size: int
    max_length: int


@dataclass(frozen=True, slots=True)
class Encoder:
    """A base as transformers has it: in fp32 on CPU, frozen, without its own pooler."""

    # A PreTrainedModel, whose methods are typed in part only.
    model: Any
    facts: HostFacts
    form: InputForm


def load_encoder(store: ArtifactStore, digest: str) -> Encoder:
    """Loads and verifies a base.

    Raises:
        NotFound: no such base.
        IntegrityError: the base is damaged, or its manifest does not describe it.
    """
    fields = _read_fields(store, digest)
    model: Any = AutoModel.from_pretrained(
        store.path(KIND, digest),
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    # Pooling is the engine's: nobody reads the model's own, and an adapter for "dense" would seem to lack a part.
    if hasattr(model, "pooler"):
        model.pooler = None
    model.requires_grad_(False).eval()
    form = _form(model)
    return Encoder(model, _facts(digest, fields, model, form), form)


def _read_fields(store: ArtifactStore, digest: str) -> _BaseFields:
    try:
        return _BaseFields.model_validate(store.manifest(KIND, digest))
    except ValidationError as exc:
        raise IntegrityError(f"{KIND}/{digest}: the manifest does not describe a base") from exc


def _form(model: PreTrainedModel) -> InputForm:
    embeddings = getattr(model, "embeddings", None)
    return InputForm(
        padding=model.config.pad_token_id or 0,
        # Others of their kind have no such argument, or an embedding of one type, which tells nothing apart.
        has_types=getattr(model.config, "type_vocab_size", 0) > 1,
        positions_skip_padding=hasattr(embeddings, "create_position_ids_from_input_ids"),
    )


def _facts(digest: str, fields: _BaseFields, model: PreTrainedModel, form: InputForm) -> HostFacts:
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
        biases={
            name: len(module.bias)
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None
        },
        positions=positions - (form.padding + 1 if form.positions_skip_padding else 0),
        prefix=_prefix_shape(model),
    )


def _prefix_shape(model: PreTrainedModel) -> PrefixShape | None:
    """None where the encoder has no past keys and values, and PEFT could not tune a prefix for it either."""
    arguments = inspect.signature(model.forward).parameters
    if not {"past_key_values", "position_ids"} <= set(arguments):
        return None
    return PrefixShape(model.config.num_hidden_layers, model.config.hidden_size)
