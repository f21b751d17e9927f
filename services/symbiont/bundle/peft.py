"""PEFT's own folder layout, both ways: `adapter_config.json` beside `adapter_model.safetensors`."""

import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file

from symbiont.bundle import tensors
from symbiont.bundle.manifest import AdaLoraMethod, LoraMethod, PrefixMethod
from symbiont.bundle.store import ADAPTER, HEAD, KIND, Bundle, load_bundle
from symbiont.bundle.tensors import PEFT_PREFIX, Array
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
# Options of PEFT that change the result and that a bundle cannot express: each must be off.
_UNSUPPORTED = (
    "alpha_pattern",
    "fan_in_fan_out",
    "layer_replication",
    "layers_to_transform",
    "lora_bias",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_dora",
)
_HEAD_MODULES = ("classifier", "score")


# Those that PEFT has too.
_Method = LoraMethod | AdaLoraMethod | PrefixMethod


@dataclass(frozen=True, slots=True)
class ImportedAdapter:
    """What a PEFT folder holds: the method, its tensors, and the head where one linear layer was saved with it."""

    method: _Method
    adapter: Mapping[str, Array]
    head: Mapping[str, Array] | None


def export_peft(store: ArtifactStore, digest: str, folder: Path) -> None:
    """Writes a bundle as a folder that `peft.PeftModel.from_pretrained(AutoModel..., folder)` loads.

    The head goes beside it as `head.safetensors`; PEFT ignores it, because it belongs to no model class.

    Raises:
        FailedPrecondition: the bundle has no adapter.
    """
    bundle = load_bundle(store, digest)
    method = bundle.manifest.method
    if not isinstance(method, _Method):
        raise FailedPrecondition(f"{KIND}/{digest}: its method is `{method.kind}`, which PEFT has no folder for")
    folder.mkdir(parents=True, exist_ok=True)
    source = store.path(KIND, digest)
    shutil.copyfile(source / ADAPTER, folder / WEIGHTS)
    shutil.copyfile(source / HEAD, folder / HEAD)
    config = {
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": bundle.manifest.base_digest,
        "inference_mode": True,
        **_config(method, bundle),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2))


def import_peft(folder: Path, *, strip_prefix: str = "") -> ImportedAdapter:
    """Reads a folder of LoRA, AdaLoRA or prefix tuning that PEFT saved.

    Args:
        folder: holds `adapter_config.json` and `adapter_model.safetensors`.
        strip_prefix: the part of module names that the plain encoder lacks, for example `bert.` when the adapter was
            trained on `BertForSequenceClassification`.

    Raises:
        InvalidArgument: a file is missing, or the adapter uses something that a bundle cannot express.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
        weights: dict[str, Array] = load_file(folder / WEIGHTS)
        method = _method_from_config(config)
    except InvalidArgument:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SafetensorError) as exc:
        raise InvalidArgument("folder", f"{folder} is no PEFT folder: {exc}") from exc
    head = _take_head(weights)
    if isinstance(method, PrefixMethod):
        # What remains of the weights is checked when a bundle is made of them.
        adapter: Mapping[str, Array] = weights
    else:
        adapter = {_without(key, strip_prefix): value for key, value in weights.items()}
    return ImportedAdapter(method, tensors.as_arrays(adapter), head)


def _config(method: _Method, bundle: Bundle) -> dict[str, Any]:
    match method:
        case PrefixMethod():
            # PEFT takes layers, heads and their width from the model that it is loaded for.
            return {
                "peft_type": "PREFIX_TUNING",
                "num_virtual_tokens": method.virtual_tokens,
                "prefix_projection": False,
            }
        case LoraMethod():
            special = _lora_config(method, bundle)
        case AdaLoraMethod():
            special = _adalora_config(method, bundle)
    return {"lora_alpha": method.alpha, "lora_dropout": 0.0, "bias": "none", **special}


# By full name: a suffix would also match the pooler that AutoModel adds, which has no adapter here.
def _lora_config(method: LoraMethod, bundle: Bundle) -> dict[str, Any]:
    targets = sorted(tensors.lora_pairs(bundle.adapter))
    return {"peft_type": "LORA", "r": method.rank, "use_rslora": method.rslora, "target_modules": targets}


def _adalora_config(method: AdaLoraMethod, bundle: Bundle) -> dict[str, Any]:
    ranks = {module: len(triple.e) for module, triple in sorted(tensors.adalora_triples(bundle.adapter).items())}
    return {
        "peft_type": "ADALORA",
        "init_r": method.rank,
        # Of the schedule, which is over; PEFT reads no adapter without it.
        "total_step": 1,
        # PEFT keeps of each module those singular values that are true here.
        "rank_pattern": {
            f"{module}.lora_E": [index < rank for index in range(method.rank)] for module, rank in ranks.items()
        },
        "target_modules": list(ranks),
    }


def _method_from_config(config: dict[str, Any]) -> _Method:
    kind = config.get("peft_type")
    if kind == "PREFIX_TUNING":
        # A projection of the prefix is over: PEFT saves what came out of it.
        if config.get("num_transformer_submodules", 1) != 1:
            raise InvalidArgument("num_transformer_submodules", "a prefix of encoder and decoder is not supported")
        return PrefixMethod(virtual_tokens=config["num_virtual_tokens"])
    if kind not in ("LORA", "ADALORA"):
        raise InvalidArgument("peft_type", f"{kind!r} is not supported, only LORA, ADALORA and PREFIX_TUNING")
    for option in _UNSUPPORTED:
        # AdaLoRA's pattern says what the shapes say too.
        if config.get(option) and (kind, option) != ("ADALORA", "rank_pattern"):
            raise InvalidArgument(option, "a bundle cannot express it")
    if config.get("bias", "none") != "none":
        raise InvalidArgument("bias", "trained biases are not supported")
    targets = config.get("target_modules")
    if not isinstance(targets, list):
        raise InvalidArgument("target_modules", "must be a list of names; an expression is not supported")
    if kind == "ADALORA":
        return AdaLoraMethod(rank=config["init_r"], alpha=config["lora_alpha"], target_modules=tuple(sorted(targets)))
    return LoraMethod(
        rank=config["r"],
        alpha=config["lora_alpha"],
        target_modules=tuple(sorted(targets)),
        rslora=bool(config.get("use_rslora")),
    )


def _take_head(weights: dict[str, Array]) -> dict[str, Array] | None:
    """Moves a saved linear head out of the weights; its labels and pooling are the caller's to know."""
    # Prefix tuning wraps the model once less.
    for prefix, module in itertools.product((PEFT_PREFIX, "base_model."), _HEAD_MODULES):
        keys = {part: f"{prefix}{module}.{part}" for part in ("weight", "bias")}
        if all(key in weights for key in keys.values()):
            return tensors.as_arrays({part: weights.pop(key) for part, key in keys.items()})
    return None


def _without(key: str, strip_prefix: str) -> str:
    return PEFT_PREFIX + key.removeprefix(PEFT_PREFIX).removeprefix(strip_prefix)
