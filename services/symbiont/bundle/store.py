"""Writes bundles to the artifact store, and reads them back only after checking every byte."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from symbiont.bundle import tensors
from symbiont.bundle.heads import EmbeddingHead, PooledHead
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


def write_bundle(
    store: ArtifactStore, manifest: BundleManifest, adapter: Mapping[str, Any], head: Mapping[str, Any]
) -> str:
    """Stores a bundle and returns its digest.

    Args:
        store: where to.
        manifest: its `files` is filled in here.
        adapter: PEFT key -> numpy array or torch tensor; empty for the method `none`.
        head: what `heads.shapes` says; empty for an embedding of size 0.

    Raises:
        IntegrityError: a tensor is not what the manifest says; nothing is stored.
    """
    adapter_arrays, head_arrays = tensors.as_arrays(adapter), tensors.as_arrays(head)
    tensors.check(manifest, adapter_arrays, head_arrays)
    parts = {HEAD: head_arrays, ADAPTER: adapter_arrays}
    files = {name: save(arrays) for name, arrays in parts.items() if arrays}
    # Left out where there is none: releases before it know no such part, and refuse what they do not know.
    unset: dict[str, Any] = {"files": True} | ({} if manifest.int8 else {"int8": True})
    if isinstance(manifest.head, PooledHead):
        newer = {"fusion": "concatenated", "hidden_layers": (), "costs": ()}
        unset["head"] = {name for name, usual in newer.items() if getattr(manifest.head, name, None) == usual}
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
    parts = {name: _read(store, digest, name) for name in manifest.files}
    try:
        bundle = Bundle(digest, manifest, parts.get(ADAPTER, {}), parts.get(HEAD, {}))
        tensors.check(manifest, bundle.adapter, bundle.head)
    except IntegrityError as exc:
        raise IntegrityError(f"{KIND}/{digest}: {exc}") from exc
    return bundle


def _files_of(manifest: BundleManifest) -> set[str]:
    adapter = set() if isinstance(manifest.method, NoMethod) else {ADAPTER}
    return adapter if isinstance(manifest.head, EmbeddingHead) and not manifest.head.size else adapter | {HEAD}


def _read(store: ArtifactStore, digest: str, name: str) -> dict[str, Array]:
    try:
        # Checks the very bytes that are parsed.
        parsed: dict[str, Array] = load(store.read(KIND, digest, name))
    except (SafetensorError, KeyError, ValueError) as exc:
        raise IntegrityError(f"{KIND}/{digest}: file {name} is not a safetensors file that numpy can hold") from exc
    return parsed
