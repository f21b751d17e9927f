"""Synthetic bundles: of the size and cost of real ones, made from a base's shapes alone, without torch."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from symbiont.bundle import BundleManifest, ClassificationHead, Golden, HoulsbyMethod, Lineage, LoraMethod, write_bundle
from symbiont.bundle.tensors import PEFT_PREFIX
from symbiont.common.artifacts import MANIFEST, ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument

MethodName = Literal["lora", "houlsby"]
KIND = "bases"
LABELS = 2
FLOAT = 4
# Where training puts an adapter when nobody says otherwise, by the names that families of encoders use.
_TARGETS: Mapping[MethodName, Sequence[Sequence[str]]] = {
    "lora": (("query", "value"), ("q_lin", "v_lin"), ("q_proj", "v_proj")),
    "houlsby": (("output.dense",), ("out_lin", "lin2"), ("out_proj", "fc2")),
}


@dataclass(frozen=True)
class Shapes:
    """A base as far as a bundle depends on it: (in, out) of its linear modules, by dotted name."""

    hidden_size: int
    max_length: int
    parameters: int
    modules: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Kind:
    """A kind of bundle: `rank` is that of LoRA, or the width of a bottleneck."""

    method: MethodName
    rank: int


def read_shapes(store: ArtifactStore, base: str) -> Shapes:
    """Reads them from the headers of a base's weights.

    Raises:
        NotFound, IntegrityError: the base is not there, or damaged.
        FailedPrecondition: it is no encoder, or its weights are not in safetensors files.
    """
    folder, manifest = store.path(KIND, base), store.manifest(KIND, base)
    if "hidden_size" not in manifest or "max_length" not in manifest:
        raise FailedPrecondition(f"{KIND}/{base} is not a base that bundles are put on")
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "np") as weights:
            shapes |= {key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
    if not shapes:
        raise FailedPrecondition(f"{KIND}/{base} has no safetensors file: its shapes are not known")
    modules = {
        key.removesuffix(".weight"): (shape[1], shape[0])
        for key, shape in shapes.items()
        if key.endswith(".weight") and len(shape) == 2 and "embedding" not in key
    }
    parameters = sum(int(np.prod(shape)) for shape in shapes.values())
    return Shapes(manifest["hidden_size"], manifest["max_length"], parameters, modules)


def targets(shapes: Shapes, method: MethodName) -> tuple[tuple[str, ...], Sequence[str]]:
    """Returns the suffixes that a bundle of a method names, and the modules that have them.

    Raises:
        FailedPrecondition: the base has no such modules.
    """
    for suffixes in _TARGETS[method]:
        found = [name for name in shapes.modules if any(name.endswith(f".{suffix}") for suffix in suffixes)]
        if found:
            return tuple(suffixes), found
    raise FailedPrecondition(f"the base has no modules that {method} is known to be put on")


def bundle_bytes(shapes: Shapes, kind: Kind) -> int:
    """Returns what a bundle's arrays take: those of its adapter, and a head of two labels."""
    head = LABELS * (shapes.hidden_size + 1)
    return FLOAT * (head + sum(_values(shapes, kind, name) for name in targets(shapes, kind.method)[1]))


def _values(shapes: Shapes, kind: Kind, module: str) -> int:
    inputs, outputs = shapes.modules[module]
    if kind.method == "lora":
        return kind.rank * (inputs + outputs)
    return kind.rank * (2 * outputs + 1) + outputs


def arithmetic(shapes: Shapes, kind: Kind) -> str:
    """Returns in words how `bundle_bytes` comes about."""
    modules = targets(shapes, kind.method)[1]
    terms: dict[str, int] = {}
    for name in modules:
        inputs, outputs = shapes.modules[name]
        each = f"{kind.rank} x ({inputs} + {outputs})"
        if kind.method == "houlsby":
            each = f"({kind.rank} x (2 x {outputs} + 1) + {outputs})"
        terms[each] = terms.get(each, 0) + 1
    adapter = " + ".join(f"{count} modules x {each}" for each, count in terms.items())
    return f"({adapter} + head {LABELS} x ({shapes.hidden_size} + 1)) x {FLOAT} B"


def copy_base(source: ArtifactStore, base: str, target: ArtifactStore) -> str:
    """Copies a base under another digest, so that its host stands beside the one that serves; returns the digest."""
    folder, manifest = source.path(KIND, base), source.manifest(KIND, base)
    files: dict[str, Path | bytes] = {name: folder / name for name in manifest["files"] if name != MANIFEST}
    fields = {name: value for name, value in manifest.items() if name != "files"}
    kept = target.public() if source.is_public(KIND, base) else target
    return kept.put(KIND, files, {**fields, "capacity_run": uuid.uuid4().hex})


def write(store: ArtifactStore, base: str, shapes: Shapes, kind: Kind, seed: int) -> str:
    """Writes a bundle with random weights; returns its digest.

    Its head multiplies by 0 and gives its bias, whatever comes in, so that its golden row is right without computing
    it; a host spends on it what it spends on any other.
    """
    random = np.random.default_rng(seed)
    suffixes, modules = targets(shapes, kind.method)
    bias = random.random(LABELS, dtype=np.float32)
    head = {"weight": np.zeros((LABELS, shapes.hidden_size), np.float32), "bias": bias}
    manifest = BundleManifest(
        base_digest=base,
        tokenizer_digest="0" * 64,
        max_tokens=shapes.max_length,
        labels=tuple(f"label-{index}" for index in range(LABELS)),
        method=LoraMethod(rank=kind.rank, alpha=2.0 * kind.rank, target_modules=suffixes)
        if kind.method == "lora"
        else HoulsbyMethod(size=kind.rank, target_modules=suffixes),
        head=ClassificationHead(pooling="mean", hidden_size=shapes.hidden_size, num_labels=LABELS),
        lineage=Lineage(job="capacity", training_dataset="", evaluation_dataset="", seed=seed, code_version="capacity"),
        golden=Golden(input_ids=((1, 2, 3),), logits=(tuple(bias.tolist()),)),
    )
    adapter = {
        f"{PEFT_PREFIX}{name}.{part}": array
        for name in modules
        for part, array in _weights(kind, shapes.modules[name], random).items()
    }
    return write_bundle(store, manifest, adapter, head)


def _weights(kind: Kind, module: tuple[int, int], random: np.random.Generator) -> dict[str, NDArray[Any]]:
    inputs, outputs = module
    wanted: dict[str, tuple[int, ...]] = {
        "lora_A.weight": (kind.rank, inputs),
        "lora_B.weight": (outputs, kind.rank),
    }
    if kind.method == "houlsby":
        wanted = {
            "adapter_down.weight": (kind.rank, outputs),
            "adapter_down.bias": (kind.rank,),
            "adapter_up.weight": (outputs, kind.rank),
            "adapter_up.bias": (outputs,),
        }
    return {name: random.normal(0, 0.01, shape).astype(np.float32) for name, shape in wanted.items()}


def find_base(store: ArtifactStore, wanted: str) -> str:
    """Returns the digest of a base: by the beginning of its digest, or the only one where nothing is said.

    Raises:
        InvalidArgument: there is none, or there are several; names them.
    """
    known = [digest for digest in store.list(KIND) if digest.startswith(wanted)]
    if len(known) == 1:
        return known[0]
    there = ", ".join(json.dumps(digest[:12]) for digest in store.list(KIND)) or "none"
    raise InvalidArgument("base", f"{wanted!r} names {len(known)} bases of {store.root}; there are: {there}")
