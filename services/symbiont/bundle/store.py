"""Writes bundles to the artifact store, and reads them back only after checking every byte."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from symbiont.bundle import own_module, tensors
from symbiont.bundle.heads import EmbeddingHead, OwnModule, PooledHead
from symbiont.bundle.manifest import BundleManifest, NoMethod
from symbiont.bundle.tensors import Array
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError

KIND = "bundles"
ADAPTER = "adapter.safetensors"
HEAD = "head.safetensors"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory; the tensors are fp32, keyed as in its files."""

    digest: str
    manifest: BundleManifest
    adapter: Mapping[str, Array]
    head: Mapping[str, Array]
    # The file of the head's own module; empty for none.
    own_module: bytes = b""


def write_bundle(
    store: ArtifactStore,
    manifest: BundleManifest,
    adapter: Mapping[str, Any],
    head: Mapping[str, Any],
    module: bytes = b"",
) -> str:
    """Stores a bundle and returns its digest.

    Args:
        store: where to.
        manifest: its `files` is filled in here.
        adapter: PEFT key -> numpy array or torch tensor; empty for the method `none`.
        head: what `heads.shapes` says; empty for an embedding of size 0.
        module: the graph of the head's own module; empty where it has none.

    Raises:
        IntegrityError: a tensor, or the module, is not what the manifest says; nothing is stored.
    """
    adapter_arrays, head_arrays = tensors.as_arrays(adapter), tensors.as_arrays(head)
    tensors.check(manifest, adapter_arrays, head_arrays)
    _check_module(manifest, module)
    parts = {HEAD: head_arrays, ADAPTER: adapter_arrays}
    files: dict[str, Path | bytes] = {name: save(arrays) for name, arrays in parts.items() if arrays}
    if module:
        files[own_module.FILE] = module
    # Left out where there is none: releases before it know no such part, and refuse what they do not know.
    unset: dict[str, Any] = {"files": True} | ({} if manifest.int8 else {"int8": True})
    unset |= {} if manifest.windows else {"windows": True}
    if not manifest.lineage.started_from:
        unset["lineage"] = {"started_from"}
    if isinstance(manifest.head, PooledHead):
        newer = {"fusion": "concatenated", "hidden_layers": (), "costs": (), "own_module": None}
        unset["head"] = {name for name, usual in newer.items() if getattr(manifest.head, name, usual) == usual}
    return store.put(KIND, files, manifest.model_dump(mode="json", exclude=unset))


def read_manifest(store: ArtifactStore, digest: str) -> BundleManifest:
    """Returns a bundle's manifest, checked against its digest; the weights are not read.

    Raises:
        NotFound: no such bundle.
        IntegrityError: the manifest does not match its digest, or is not one that this version understands.
    """
    try:
        # Through JSON, because pydantic's strict mode takes a list for a tuple only there.
        return BundleManifest.model_validate_json(json.dumps(store.manifest(KIND, digest)), strict=True)
    except ValidationError as exc:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise IntegrityError(f"{KIND}/{digest}: the manifest is not valid: {problems}") from exc
    except RecursionError as exc:
        raise IntegrityError(f"{KIND}/{digest}: the manifest is nested too deeply") from exc


def load_bundle(store: ArtifactStore, digest: str, expected_base: str | None = None) -> Bundle:
    """Returns a bundle after checking digests, keys, shapes, types, finiteness and, if given, the base.

    Raises:
        NotFound: no such bundle.
        IntegrityError: names what is wrong.
    """
    manifest = read_manifest(store, digest)
    if expected_base is not None and manifest.base_digest != expected_base:
        raise IntegrityError(f"{KIND}/{digest}: made for the base {manifest.base_digest}, not for {expected_base}")
    wanted = _files_of(manifest)
    if set(manifest.files) != wanted:
        raise IntegrityError(f"{KIND}/{digest}: lists the files {sorted(manifest.files)}, not {sorted(wanted)}")
    parts = {name: _read(store, digest, name) for name in manifest.files if name != own_module.FILE}
    try:
        bundle = Bundle(
            digest, manifest, parts.get(ADAPTER, {}), parts.get(HEAD, {}), _read_module(store, digest, manifest)
        )
        tensors.check(manifest, bundle.adapter, bundle.head)
        _check_module(manifest, bundle.own_module)
    except IntegrityError as exc:
        raise IntegrityError(f"{KIND}/{digest}: {exc}") from exc
    return bundle


def _files_of(manifest: BundleManifest) -> set[str]:
    files = set() if isinstance(manifest.method, NoMethod) else {ADAPTER}
    if not isinstance(manifest.head, EmbeddingHead) or manifest.head.size:
        files.add(HEAD)
    if _module_of(manifest):
        files.add(own_module.FILE)
    return files


def _module_of(manifest: BundleManifest) -> OwnModule | None:
    return manifest.head.own_module if isinstance(manifest.head, PooledHead) else None


def _check_module(manifest: BundleManifest, content: bytes) -> None:
    described = _module_of(manifest)
    if bool(described) != bool(content):
        raise IntegrityError("an own module needs both its description and its file")
    if described and isinstance(manifest.head, PooledHead):
        own_module.check(content, manifest.head.fused(manifest.features), described.outputs)


def _read_module(store: ArtifactStore, digest: str, manifest: BundleManifest) -> bytes:
    entry = manifest.files.get(own_module.FILE)
    if entry is None:
        return b""
    if entry.size > own_module.MOST_BYTES:
        raise IntegrityError(f"{own_module.FILE} has {entry.size} bytes; at most {own_module.MOST_BYTES} are loaded")
    return store.read(KIND, digest, own_module.FILE)


def _read(store: ArtifactStore, digest: str, name: str) -> dict[str, Array]:
    try:
        # Checks the very bytes that are parsed.
        parsed: dict[str, Array] = load(store.read(KIND, digest, name))
    except (SafetensorError, KeyError, ValueError) as exc:
        raise IntegrityError(f"{KIND}/{digest}: file {name} is not a safetensors file that numpy can hold") from exc
    return parsed
