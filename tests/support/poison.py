"""Bundles that no host may serve, stored past the checks of whoever writes bundles."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from support.bundles import random_bundle, tiny_base
from symbiont.bundle import load_bundle, write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.runtime import Array

Change = Callable[[str, Array], Array]


def rewrite(
    store: ArtifactStore,
    digest: str,
    *,
    adapter: Change = lambda _, value: value,
    head: Change = lambda _, value: value,
    manifest: Mapping[str, Any] | None = None,
) -> str:
    """Stores a bundle again with tensors or fields of its manifest changed; returns the new digest."""
    bundle = load_bundle(store, digest)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("symbiont.bundle.tensors.check", lambda *_: None)
        return write_bundle(
            store,
            bundle.manifest.model_copy(update=dict(manifest or {})),
            {key: adapter(key, value) for key, value in bundle.adapter.items()},
            {key: head(key, value) for key, value in bundle.head.items()},
        )


def without_dimensions(store: ArtifactStore, digest: str, ending: str) -> str:
    """Stores a bundle again with a single number, of no dimension, in place of the adapter's tensors of that ending."""
    folder = store.path("bundles", digest)
    fields = {name: value for name, value in store.manifest("bundles", digest).items() if name != "files"}
    adapter = load_bundle(store, digest).adapter
    changed = {key: np.array(1, np.float32) if key.endswith(ending) else value for key, value in adapter.items()}
    assert any(value.ndim == 0 for value in changed.values())
    # Past whatever makes arrays of numbers.
    files = {"head.safetensors": folder / "head.safetensors", "adapter.safetensors": save(changed)}
    return store.put("bundles", files, fields)


def with_nan(_key: str, value: Array) -> Array:
    """Returns the tensor with a first value that is no number."""
    value = value.copy()
    value.flat[0] = np.nan
    return value


def narrowed(key: str, value: Array) -> Array:
    """Returns the `a` of a LoRA pair for an input that is narrower by one."""
    return np.ascontiguousarray(value[:, :-1]) if "lora_A" in key else value


def with_other_golden(store: ArtifactStore, digest: str, wrong: float) -> str:
    """Stores a LoRA bundle again with the logits of its last golden row moved; returns the new digest."""
    golden = load_bundle(store, digest).manifest.golden
    logits = (*golden.logits[:-1], tuple(value + wrong for value in golden.logits[-1]))
    return rewrite(store, digest, manifest={"golden": golden.model_copy(update={"logits": logits})})


def poisoned(store: ArtifactStore, base: str, **shape: Any) -> dict[str, str]:
    """Returns bundles that claim to be for a base, by what is wrong with them; `shape` is as in `random_bundle`."""
    good, _ = random_bundle(store, base, **shape)
    torn, _ = random_bundle(store, base, **{**shape, "seed": 1001})
    file = store.path("bundles", torn) / "head.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    foreign, _ = random_bundle(store, tiny_base(store, seed=1002), **shape)
    return {
        "NaN in the adapter": rewrite(store, good, adapter=with_nan),
        "NaN in the head": rewrite(store, good, head=with_nan),
        "a tensor of a wrong shape": rewrite(store, good, adapter=narrowed),
        "another base": foreign,
        "other golden logits": with_other_golden(store, good, 0.01),
        "a flipped bit": torn,
    }
