"""Tiny random bases and bundles, and what plain transformers and PEFT answer with them: for tests of any package."""

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from peft import (
    AdaLoraConfig,
    LoraConfig,
    PeftMixedModel,
    PeftModel,
    PrefixTuningConfig,
    get_peft_model,
    get_peft_model_state_dict,
)
from torch import Tensor, nn
from transformers import AutoModel, BertConfig, BertModel, PreTrainedModel

from symbiont.bundle import (
    BusinessField,
    ClassificationHead,
    EmbeddingHead,
    EntityHead,
    Head,
    MultiLabelHead,
    Pooling,
    ScoreHead,
    SpanHead,
    Task,
)
from symbiont.bundle.manifest import (
    Activation,
    AdaLoraMethod,
    BitFitMethod,
    BundleManifest,
    Golden,
    HoulsbyMethod,
    Int8,
    Lineage,
    LoraMethod,
    Method,
    NoMethod,
    PrefixMethod,
)
from symbiont.bundle.store import write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.row import NO_FEATURES, Floats, Ids, Row
from symbiont.engine.runtime import Array

HIDDEN_SIZE = 32
MAX_LENGTH = 64
# So that a prefix of a few virtual tokens leaves room for the longest row.
POSITIONS = 80
VOCAB_SIZE = 120
TOKENIZER_DIGEST = "0" * 64
_DEFAULT_TARGETS = ("query", "value")


def tiny_base(
    store: ArtifactStore,
    *,
    seed: int = 0,
    pooling: Pooling = "mean",
    vocab_size: int = VOCAB_SIZE,
    initializer_range: float = 0.3,
) -> str:
    """Stores a random two-layer BERT and returns its digest."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=HIDDEN_SIZE,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        # The default, 0.02, leaves so small a model almost linear: errors in attention would not show.
        initializer_range=initializer_range,
    )
    return store_encoder(store, BertModel(config), pooling=pooling)


def store_encoder(store: ArtifactStore, model: PreTrainedModel, *, pooling: Pooling = "mean") -> str:
    """Stores any encoder as a base; its rows have at most `MAX_LENGTH` tokens."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        files: dict[str, Path | bytes] = {
            name: (Path(folder) / name).read_bytes() for name in ("config.json", "model.safetensors")
        }
    fields = {"kind": "base", "format_version": 1, "pooling": pooling, "hidden_size": model.config.hidden_size}
    return store.put("bases", files, fields | {"max_length": MAX_LENGTH})


def random_rows(count: int, *, seed: int = 0, max_length: int = MAX_LENGTH) -> list[Ids]:
    """Returns rows of random ids and random lengths."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, max_length + 1, size=count)
    return [generator.integers(0, VOCAB_SIZE, size=length, dtype=np.int32) for length in lengths]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A bundle as its trainer had it: a plain module of transformers, wrapped by PEFT where there is an adapter."""

    encoder: nn.Module
    head: nn.Module
    # None for a head on tokens.
    pooling: Pooling | None
    features: int = 0

    def logits(self, input_ids: Ids, segment_start: int = 0, features: Floats = NO_FEATURES) -> Array:
        """Returns what it answers for one row, computed alone: [outputs] or [tokens, outputs]."""
        ids = torch.tensor(input_ids).long()[None]
        types = (torch.arange(len(input_ids)) >= (segment_start or len(input_ids))).long()[None]
        with torch.no_grad():
            hidden = self._hidden(ids, types)
            if self.pooling:
                pooled = hidden[0] if self.pooling == "cls" else hidden.mean(dim=0)
                hidden = torch.cat([pooled, torch.tensor(features)])
            values: Array = self.head(hidden).numpy()
        return values

    def _hidden(self, ids: Tensor, types: Tensor) -> Tensor:
        arguments: dict[str, Any] = {"input_ids": ids, "token_type_ids": types}
        encoder = self.encoder
        if isinstance(encoder, PeftModel) and encoder.active_peft_config.is_prompt_learning:
            if not types.any():
                arguments = {"input_ids": ids}
            else:
                # PEFT's own forward drops the types.
                arguments["past_key_values"] = encoder.get_prompt(1)
                encoder = encoder.base_model
        hidden: Tensor = encoder(**arguments).last_hidden_state[0]
        return hidden

    def answer(self, row: Row) -> Array:
        """Returns what it answers for one row, computed alone."""
        return self.logits(row.input_ids, row.segment_start, row.features)


def random_head(task: Task, num_labels: int, pooling: Pooling, hidden_size: int) -> tuple[Head, tuple[str, ...]]:
    """Returns a head of a task, and its labels; an embedding has `num_labels` values, 0 for the hidden size."""
    labels = tuple(f"label-{n}" for n in range(num_labels))
    match task:
        case "classification":
            return ClassificationHead(pooling=pooling, hidden_size=hidden_size, num_labels=num_labels), labels
        case "multi_label":
            return MultiLabelHead(pooling=pooling, hidden_size=hidden_size, num_labels=num_labels), labels
        case "score":
            return ScoreHead(pooling=pooling, hidden_size=hidden_size, link="sigmoid", scale=5.0), ()
        case "embedding":
            return EmbeddingHead(pooling=pooling, hidden_size=hidden_size, size=num_labels), ()
        case "entities":
            tags = ("O", *(f"{part}-{n}" for n in range(num_labels // 2) for part in "BI"))
            return EntityHead(hidden_size=hidden_size, num_labels=len(tags)), tags
        case "spans":
            return SpanHead(hidden_size=hidden_size), ()


def random_bundle(
    store: ArtifactStore,
    base: str,
    *,
    seed: int = 0,
    rank: int = 4,
    num_labels: int = 3,
    pooling: Pooling = "mean",
    target_modules: Sequence[str] = _DEFAULT_TARGETS,
    rslora: bool = False,
    adalora: bool = False,
    houlsby: Activation | None = None,
    bitfit: bool = False,
    prefix: int = 0,
    task: Task = "classification",
    fields: Sequence[BusinessField] = (),
    tokenizer_digest: str = TOKENIZER_DIGEST,
    max_tokens: int = 16,
    takes: Literal["text", "pair"] = "text",
    windows: bool = False,
    int8: Int8 | None = None,
    decision: Mapping[str, Any] | None = None,
    job: str = "test",
) -> tuple[str, Reference]:
    """Stores a bundle with random weights; rank 0 means a head alone. Returns its digest and its reference.

    With `houlsby`, an activation, `rank` is the width of its bottlenecks. With `adalora` the modules have ranks from
    `rank` down to 0, as if training had pruned them. `prefix` is a number of virtual tokens, instead of a rank,
    and `bitfit` changes biases.
    `decision` is what its head has of costs or thresholds.
    """
    torch.manual_seed(seed)
    encoder: nn.Module = copy.deepcopy(_loaded(store.path("bases", base)))
    hidden_size: int = store.manifest("bases", base)["hidden_size"]
    method: Method = NoMethod()
    adapter: dict[str, Tensor] = {}
    if prefix:
        method = PrefixMethod(virtual_tokens=prefix)
        encoder = _with_random_prefix(encoder, method)
        adapter = get_peft_model_state_dict(encoder)
    elif bitfit:
        method = BitFitMethod()
        adapter = _add_random_shifts(encoder)
    elif rank and adalora:
        method = AdaLoraMethod(rank=rank, alpha=2.0 * rank, target_modules=tuple(target_modules))
        encoder = _with_random_adalora(encoder, method)
        # With the state given, PEFT does not take a module of rank 0 for a part that some other process holds.
        adapter = get_peft_model_state_dict(encoder, state_dict=encoder.state_dict())
    elif rank and houlsby:
        method = HoulsbyMethod(size=rank, activation=houlsby, target_modules=tuple(target_modules))
        adapter = _add_random_bottlenecks(encoder, method)
    elif rank:
        method = LoraMethod(rank=rank, alpha=2.0 * rank, target_modules=tuple(target_modules), rslora=rslora)
        encoder = _with_random_lora(encoder, method)
        adapter = get_peft_model_state_dict(encoder)
    head, labels = random_head(task, num_labels, pooling, hidden_size)
    head = head.model_copy(update=decision or {})
    width = sum(field.width for field in fields)
    on_tokens = task in ("entities", "spans")
    layer = nn.Linear(hidden_size + width, head.outputs) if task != "embedding" or num_labels else nn.Identity()
    reference = Reference(encoder.eval(), layer, None if on_tokens else pooling, width)
    rows = random_rows(3, seed=seed, max_length=min(MAX_LENGTH, encoder.config.max_position_embeddings - prefix))
    values = np.random.default_rng(seed).random((3, width), dtype=np.float32)
    starts = [len(row) // 2 for row in rows] if task == "spans" else [0] * len(rows)
    logits = [reference.logits(*row) for row in zip(rows, starts, values, strict=True)]
    manifest = BundleManifest(
        base_digest=base,
        tokenizer_digest=tokenizer_digest,
        max_tokens=max_tokens,
        task=task,
        input="pair" if task == "spans" else takes,
        windows=windows,
        labels=labels,
        fields=tuple(fields),
        method=method,
        head=head,
        lineage=Lineage(job=job, training_dataset="", evaluation_dataset="", seed=seed, code_version="test"),
        golden=Golden(
            input_ids=tuple(tuple(row.tolist()) for row in rows),
            logits=tuple(tuple(row.reshape(-1).tolist()) for row in logits),
            segment_starts=tuple(starts),
            features=tuple(tuple(row.tolist()) for row in values) if width else (),
        ),
        int8=int8,
    )
    return write_bundle(store, manifest, adapter, layer.state_dict()), reference


@lru_cache(maxsize=4)
def _loaded(folder: Path) -> nn.Module:
    """Loads a base, of which bundles get copies: many live on one."""
    encoder: nn.Module = AutoModel.from_pretrained(folder, dtype=torch.float32)
    # As in training: the model's own pooler takes no part.
    encoder.pooler = None  # type: ignore[assignment]
    return encoder


def _with_random_lora(encoder: nn.Module, method: LoraMethod) -> PeftModel | PeftMixedModel:
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type]  # PEFT computes with any number
        target_modules=list(method.target_modules),
        use_rslora=method.rslora,
        # PEFT's own start, b = 0, would make every adapter a no-op.
        init_lora_weights=False,
    )
    return get_peft_model(encoder, config)


def _with_random_prefix(encoder: nn.Module, method: PrefixMethod) -> PeftModel | PeftMixedModel:
    config = PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=method.virtual_tokens)
    model = get_peft_model(encoder, config)
    nn.init.normal_(model.prompt_encoder["default"].embedding.weight)  # type: ignore[index,arg-type,union-attr]
    return model


def _with_random_adalora(encoder: nn.Module, method: AdaLoraMethod) -> PeftModel | PeftMixedModel:
    config = AdaLoraConfig(
        init_r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type]  # PEFT computes with any number
        target_modules=list(method.target_modules),
        total_step=10,
    )
    model = get_peft_model(encoder, config)
    modules = [name.removesuffix(".lora_E") for name, _ in model.base_model.model.named_modules() if "lora_E" in name]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                nn.init.normal_(parameter, std=0.4)
    config.rank_pattern = {
        f"{module}.lora_E": [index < max(0, method.rank - number) for index in range(method.rank)]
        for number, module in enumerate(modules)
    }
    model.base_model.resize_modules_by_rank_pattern(config.rank_pattern, "default")  # type: ignore[operator]
    return model


def _add_random_shifts(encoder: nn.Module) -> dict[str, Tensor]:
    """Changes the biases of an encoder; returns by how much, under the keys of a bundle."""
    found: dict[str, Tensor] = {}
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            shift = found[f"base_model.model.{name}.shift"] = torch.randn(len(module.bias)) * 0.3
            module.bias.data += shift
    return found


class _Bottlenecked(nn.Module):
    """A linear module with a bottleneck on what it gives."""

    def __init__(self, linear: nn.Linear, method: HoulsbyMethod) -> None:
        super().__init__()
        self.linear = linear
        self.adapter_down = nn.Linear(linear.out_features, method.size)
        self.activation = nn.GELU() if method.activation == "gelu" else nn.ReLU()
        self.adapter_up = nn.Linear(method.size, linear.out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.linear(inputs)
        changed: Tensor = outputs + self.adapter_up(self.activation(self.adapter_down(outputs)))
        return changed


def _add_random_bottlenecks(encoder: nn.Module, method: HoulsbyMethod) -> dict[str, Tensor]:
    """Puts bottlenecks into an encoder; returns their tensors under the keys of a bundle."""
    targets = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    for name in filter(method.targets, targets):
        encoder.set_submodule(name, _Bottlenecked(encoder.get_submodule(name), method))  # type: ignore[arg-type]
    return {f"base_model.model.{key}": value for key, value in encoder.state_dict().items() if ".adapter_" in key}
