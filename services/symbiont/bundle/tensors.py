"""Names, shapes and values of a bundle's tensors, checked against its manifest.

Keys are PEFT's own, so that an adapter file can be handed to PEFT unchanged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.bundle.manifest import BundleManifest, ClassificationHead, LoraMethod
from symbiont.common.errors import IntegrityError

Array = npt.NDArray[np.float32]

PEFT_PREFIX = "base_model.model."
_LORA_KEY = re.compile(rf"{re.escape(PEFT_PREFIX)}(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True, slots=True)
class LoraPair:
    """The two matrices of one adapted module: a is [rank, in], b is [out, rank]."""

    a: Array
    b: Array


def as_arrays(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Converts numpy arrays or torch tensors to contiguous fp32 arrays."""
    return {key: _as_array(value) for key, value in tensors.items()}


def lora_pairs(adapter: Mapping[str, Array]) -> dict[str, LoraPair]:
    """Groups an adapter's tensors by the module they belong to.

    Raises:
        IntegrityError: a key is no LoRA key, or one of a pair is missing.
    """
    sides: dict[str, dict[str, Array]] = {}
    for key, value in adapter.items():
        match = _LORA_KEY.fullmatch(key)
        if match is None:
            raise IntegrityError(f"adapter tensor {key!r} is not a LoRA weight")
        sides.setdefault(match["module"], {})[match["side"]] = value
    for module, found in sides.items():
        if len(found) != 2:
            raise IntegrityError(f"adapter of {module} lacks its lora_{'B' if 'A' in found else 'A'}")
    return {module: LoraPair(found["A"], found["B"]) for module, found in sides.items()}


def check(manifest: BundleManifest, adapter: Mapping[str, Array], head: Mapping[str, Array]) -> None:
    """Raises IntegrityError, naming the tensor, unless every tensor is what the manifest says."""
    for key, value in (*adapter.items(), *head.items()):
        if value.dtype != np.float32:
            raise IntegrityError(f"tensor {key!r} is {value.dtype}, not float32")
        if not np.isfinite(value).all():
            raise IntegrityError(f"tensor {key!r} holds NaN or infinity")
    _check_head(manifest.head, head)
    if isinstance(manifest.method, LoraMethod):
        _check_lora(manifest.method, adapter)
    elif adapter:
        raise IntegrityError("the method is `none`, yet there are adapter tensors")


def _check_head(spec: ClassificationHead, head: Mapping[str, Array]) -> None:
    expected = {"weight": (spec.num_labels, spec.hidden_size), "bias": (spec.num_labels,)}
    if set(head) != set(expected):
        raise IntegrityError(f"head tensors are {sorted(head)}, not {sorted(expected)}")
    for key, shape in expected.items():
        if head[key].shape != shape:
            raise IntegrityError(f"head tensor {key!r} has shape {head[key].shape}, not {shape}")


def _check_lora(method: LoraMethod, adapter: Mapping[str, Array]) -> None:
    pairs = lora_pairs(adapter)
    if not pairs:
        raise IntegrityError("the method is `lora`, yet there are no adapter tensors")
    for module, pair in pairs.items():
        if not method.targets(module):
            raise IntegrityError(f"adapter of {module} matches none of target_modules {list(method.target_modules)}")
        if pair.a.ndim != 2 or pair.a.shape[0] != method.rank:
            raise IntegrityError(f"lora_A of {module} has shape {pair.a.shape}, not ({method.rank}, in)")
        if pair.b.ndim != 2 or pair.b.shape[1] != method.rank:
            raise IntegrityError(f"lora_B of {module} has shape {pair.b.shape}, not (out, {method.rank})")


def _as_array(value: Any) -> Array:
    # A torch tensor: recognised by its method, because this package does not import torch.
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    return np.ascontiguousarray(value, dtype=np.float32)
