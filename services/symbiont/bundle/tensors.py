"""Names, shapes and values of a bundle's tensors, checked against its manifest.

Keys are PEFT's own, so that an adapter file can be handed to PEFT unchanged.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.bundle.heads import shapes
from symbiont.bundle.manifest import (
    AdaLoraMethod,
    BitFitMethod,
    BundleManifest,
    HoulsbyMethod,
    LoraMethod,
    PrefixMethod,
)
from symbiont.common.errors import IntegrityError

Array = npt.NDArray[np.float32]

PEFT_PREFIX = "base_model.model."
# Of prefix tuning, the only one.
PREFIX_KEY = "prompt_embeddings"
_LORA_KEY = re.compile(rf"{re.escape(PEFT_PREFIX)}(?P<module>.+)\.(?P<part>lora_[AB])\.weight")
_ADALORA_KEY = re.compile(rf"{re.escape(PEFT_PREFIX)}(?P<module>.+)\.(?P<part>lora_[ABE])")
_HOULSBY_KEY = re.compile(rf"{re.escape(PEFT_PREFIX)}(?P<module>.+)\.(?P<part>adapter_(down|up)\.(weight|bias))")
_SHIFT_KEY = re.compile(rf"{re.escape(PEFT_PREFIX)}(?P<module>.+)\.(?P<part>shift)")
_HOULSBY_PARTS = ("adapter_down.weight", "adapter_down.bias", "adapter_up.weight", "adapter_up.bias")


@dataclass(frozen=True, slots=True)
class LoraPair:
    """The two matrices of one adapted module: a is [rank, in], b is [out, rank]."""

    a: Array
    b: Array


def as_arrays(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Converts numpy arrays or torch tensors to contiguous fp32 arrays."""
    return {key: _as_array(value) for key, value in tensors.items()}


@dataclass(frozen=True, slots=True)
class AdaLoraTriple:
    """The matrices of one module adapted by AdaLoRA: a is [rank, in], b is [out, rank], e is [rank, 1]."""

    a: Array
    b: Array
    e: Array


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The two layers at one module: down is [size, out], up is [out, size], their biases [size] and [out]."""

    down: Array
    down_bias: Array
    up: Array
    up_bias: Array


def lora_pairs(adapter: Mapping[str, Array]) -> dict[str, LoraPair]:
    """Groups a LoRA adapter's tensors by the module they belong to.

    Raises:
        IntegrityError: a key is no LoRA key, or one of a pair is missing.
    """
    parts = _by_module(adapter, _LORA_KEY, ("lora_A", "lora_B"), "a LoRA")
    return {module: LoraPair(p["lora_A"], p["lora_B"]) for module, p in parts.items()}


def adalora_triples(adapter: Mapping[str, Array]) -> dict[str, AdaLoraTriple]:
    """Groups an AdaLoRA adapter's tensors by the module they belong to; raises as `lora_pairs` does."""
    parts = _by_module(adapter, _ADALORA_KEY, ("lora_A", "lora_B", "lora_E"), "an AdaLoRA")
    return {module: AdaLoraTriple(p["lora_A"], p["lora_B"], p["lora_E"]) for module, p in parts.items()}


def bottlenecks(adapter: Mapping[str, Array]) -> dict[str, Bottleneck]:
    """Groups a Houlsby adapter's tensors by the module they belong to; raises as `lora_pairs` does."""
    parts = _by_module(adapter, _HOULSBY_KEY, _HOULSBY_PARTS, "a Houlsby")
    return {module: Bottleneck(*(p[part] for part in _HOULSBY_PARTS)) for module, p in parts.items()}


def shifts(adapter: Mapping[str, Array]) -> dict[str, Array]:
    """Returns by how much each module's bias is another, [out], by module.

    Raises:
        IntegrityError: a key is no shift's, or one is no vector.
    """
    parts = _by_module(adapter, _SHIFT_KEY, ("shift",), "a BitFit")
    found = {module: p["shift"] for module, p in parts.items()}
    for module, shift in found.items():
        if shift.ndim != 1:
            raise IntegrityError(f"shift of {module} has shape {shift.shape}, not (out,)")
    return found


def prefix_layers(adapter: Mapping[str, Array], width: int) -> Array:
    """Returns the keys and values of a prefix, [2 * layers, virtual tokens, width]: a layer's keys, then its values.

    Raises:
        IntegrityError: the tensors are not those of a prefix of this width.
    """
    if set(adapter) != {PREFIX_KEY}:
        raise IntegrityError(f"adapter tensors are {sorted(adapter)}, not {[PREFIX_KEY]}")
    flat = adapter[PREFIX_KEY]
    if flat.ndim != 2 or not flat.size or flat.shape[1] % (2 * width):
        raise IntegrityError(f"{PREFIX_KEY} has shape {flat.shape}, not (virtual tokens, 2 * layers * {width})")
    return np.ascontiguousarray(flat.reshape(len(flat), -1, width).transpose(1, 0, 2))


def folded(method: LoraMethod | AdaLoraMethod, adapter: Mapping[str, Array]) -> dict[str, LoraPair]:
    """Returns the pairs by module of a low-rank adapter of any kind, with all that scales them folded in."""
    if isinstance(method, AdaLoraMethod):
        triples = adalora_triples(adapter)
        return {module: LoraPair(t.a * t.e, t.b * np.float32(method.scaling)) for module, t in triples.items()}
    return {module: LoraPair(p.a, p.b * method.scaling) for module, p in lora_pairs(adapter).items()}


def _by_module(
    adapter: Mapping[str, Array], pattern: re.Pattern[str], parts: Sequence[str], what: str
) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for key, value in adapter.items():
        match = pattern.fullmatch(key)
        if match is None:
            raise IntegrityError(f"adapter tensor {key!r} is not {what} weight")
        found.setdefault(match["module"], {})[match["part"]] = value
    for module, have in found.items():
        for part in parts:
            if part not in have:
                raise IntegrityError(f"adapter of {module} lacks its {part}")
    return found


def check(manifest: BundleManifest, adapter: Mapping[str, Array], head: Mapping[str, Array]) -> None:
    """Raises IntegrityError, naming the tensor, unless every tensor is what the manifest says."""
    for key, value in (*adapter.items(), *head.items()):
        if value.dtype != np.float32:
            raise IntegrityError(f"tensor {key!r} is {value.dtype}, not float32")
        if not np.isfinite(value).all():
            raise IntegrityError(f"tensor {key!r} holds NaN or infinity")
    _check_head(manifest, head)
    method = manifest.method
    if isinstance(method, LoraMethod):
        pairs = lora_pairs(adapter)
        _check_modules(method, pairs)
        for module, pair in pairs.items():
            _check_rank(module, pair.a, pair.b, method.rank)
    elif isinstance(method, AdaLoraMethod):
        triples = adalora_triples(adapter)
        _check_modules(method, triples)
        for module, triple in triples.items():
            rank = len(triple.e) if triple.e.ndim == 2 else 0
            if triple.e.shape != (rank, 1) or rank > method.rank:
                raise IntegrityError(f"lora_E of {module} has shape {triple.e.shape}, not (0 to {method.rank}, 1)")
            _check_rank(module, triple.a, triple.b, rank)
    elif isinstance(method, HoulsbyMethod):
        layers = bottlenecks(adapter)
        _check_modules(method, layers)
        for module, layer in layers.items():
            _check_bottleneck(module, layer, method.size)
    elif isinstance(method, BitFitMethod):
        if not shifts(adapter):
            raise IntegrityError("the method is `bitfit`, yet there are no adapter tensors")
    elif isinstance(method, PrefixMethod):
        layers_of_prefix = prefix_layers(adapter, manifest.head.hidden_size)
        if layers_of_prefix.shape[1] != method.virtual_tokens:
            raise IntegrityError(f"{PREFIX_KEY} has {layers_of_prefix.shape[1]} rows, not {method.virtual_tokens}")
    elif adapter:
        raise IntegrityError("the method is `none`, yet there are adapter tensors")


def _check_head(manifest: BundleManifest, head: Mapping[str, Array]) -> None:
    expected = shapes(manifest.head, manifest.features)
    if set(head) != set(expected):
        raise IntegrityError(f"head tensors are {sorted(head)}, not {sorted(expected)}")
    for key, shape in expected.items():
        if head[key].shape != shape:
            raise IntegrityError(f"head tensor {key!r} has shape {head[key].shape}, not {shape}")


def _check_bottleneck(module: str, layer: Bottleneck, size: int) -> None:
    out = len(layer.up_bias) if layer.up_bias.ndim == 1 else 0
    found = tuple(part.shape for part in (layer.down, layer.down_bias, layer.up, layer.up_bias))
    expected = ((size, out), (size,), (out, size), (out,))
    if found != expected:
        raise IntegrityError(f"adapter of {module} has the shapes {found}, not {expected}")


def _check_modules(method: LoraMethod | AdaLoraMethod | HoulsbyMethod, modules: Collection[str]) -> None:
    if not modules:
        raise IntegrityError(f"the method is `{method.kind}`, yet there are no adapter tensors")
    for module in modules:
        if not method.targets(module):
            raise IntegrityError(f"adapter of {module} matches none of target_modules {list(method.target_modules)}")


def _check_rank(module: str, a: Array, b: Array, rank: int) -> None:
    if a.ndim != 2 or a.shape[0] != rank:
        raise IntegrityError(f"lora_A of {module} has shape {a.shape}, not ({rank}, in)")
    if b.ndim != 2 or b.shape[1] != rank:
        raise IntegrityError(f"lora_B of {module} has shape {b.shape}, not (out, {rank})")


def _as_array(value: Any) -> Array:
    # A torch tensor: recognised by its method, because this package does not import torch.
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    return np.ascontiguousarray(value, dtype=np.float32)
