"""The response cache does not leak where the key of Triton's own response cache would.

Triton hashes the model's name, its version, and of each input, in the order of their names, the name and the bytes
(TritonCache::Hash in triton-inference-server/core). Parameters, shapes and types are not in its key, nor who asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference.cache.keys import Scope
from symbiont.inference.cache.rows import RowCache
from symbiont.inference.cache.store import Store
from symbiont.inference.metrics import CacheMetrics
from symbiont.inference.types import Priority


@dataclass(frozen=True, eq=False)
class Asked:
    """Rows of one tenant for one bundle, as a request to Triton would carry them."""

    rows: Sequence[Sequence[int]] = ((1, 2, 3, 4),)
    bundle: str = "d" * 64
    tenant: str = "a"
    base: str = "a" * 64
    segment_start: int = 0
    dtype: str = "<i4"

    def tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        """The inputs of a model that takes rows of one length, [rows, tokens]."""
        return {"INPUT_IDS": np.array(self.rows, self.dtype)}

    def parameters(self) -> dict[str, object]:
        """The rest, where a model would take it as parameters of the request."""
        return {"bundle": self.bundle, "segment_start": self.segment_start, "tenant": self.tenant}

    def keys(self) -> list[bytes]:
        """Ours."""
        scope = Scope.of_rows(self.tenant, self.base, self.bundle)
        return [scope.row_key(row) for row in self.as_rows()]

    def as_rows(self) -> list[Row]:
        return [Row(np.array(ids, self.dtype), self.bundle, self.segment_start) for ids in self.rows]


def triton_key(asked: Asked) -> bytes:
    """Returns what Triton hashes of a request for the host of a base, in place of its hash."""
    key = f"host-{asked.base[:12]}".encode() + b"1"
    for name, tensor in sorted(asked.tensors().items()):
        key += name.encode() + tensor.tobytes()
    return key


PAIRS = {
    "bundles": (Asked(), Asked(bundle="e" * 64)),
    "tenants": (Asked(), Asked(tenant="b")),
    "a tenant and a bundle": (Asked(), Asked(tenant="b", bundle="e" * 64)),
    "shapes": (Asked(((1, 2, 3, 4),)), Asked(((1, 2), (3, 4)))),
    "shapes of as many rows": (Asked(((1, 2, 3), (4, 5, 6))), Asked(((1, 2), (3, 4), (5, 6)))),
    "types": (Asked(((1, 0, 2, 0),)), Asked(((1, 2),), dtype="<i8")),
    "a text and a pair": (Asked(), Asked(segment_start=2)),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_what_tritons_key_takes_for_one_are_two_here(one: Asked, other: Asked) -> None:
    assert triton_key(one) == triton_key(other)
    assert set(one.keys()).isdisjoint(other.keys())


def test_tritons_key_tells_other_requests_apart() -> None:
    """Else the test above would show nothing."""
    keys = {triton_key(asked) for asked in (Asked(), Asked(((1, 2, 3, 5),)), Asked(base="b" * 64))}
    assert len(keys) == 3


def answer(row: Row, bundle: str, tenant: str) -> float:
    """Returns a number that everything takes part in, the tenant too, so that a leak shows."""
    text = f"{row.input_ids.tolist()} {row.input_ids.dtype} {row.segment_start} {bundle} {tenant}"
    return float(int.from_bytes(text.encode(), "little") % 1_000_003)


async def ask(cache: RowCache, asked: Asked) -> tuple[list[float], int]:
    """Asks the cache; returns the answers, and how many rows were computed for them."""
    computed: list[Row] = []

    async def compute(rows: Sequence[Row]) -> HostAnswer:
        computed.extend(rows)
        return HostAnswer([np.array([answer(row, asked.bundle, asked.tenant)], np.float32) for row in rows], Times())

    found = await cache.infer(asked.tenant, asked.base, asked.as_rows(), Priority.INTERACTIVE, compute)
    return [float(row[0]) for row in found.rows], len(computed)  # type: ignore[index]


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
async def test_each_gets_its_own_answers(one: Asked, other: Asked, cache_metrics: CacheMetrics) -> None:
    cache = RowCache(Store(1 << 20, 60.0, cache_metrics), cache_metrics)
    for asked in (one, other):
        expected = [answer(row, asked.bundle, asked.tenant) for row in asked.as_rows()]
        assert await ask(cache, asked) == (expected, len(expected))
        assert await ask(cache, asked) == (expected, 0)


LEAKING = ("bundles", "tenants", "a tenant and a bundle", "a text and a pair")


@pytest.mark.parametrize(("one", "other"), [PAIRS[name] for name in LEAKING], ids=LEAKING)
async def test_with_tritons_key_the_second_would_get_the_firsts(
    one: Asked, other: Asked, cache_metrics: CacheMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: with that key, this very cache leaks."""

    def key(scope: Scope, row: Row) -> bytes:
        return triton_key(Asked((row.input_ids.tolist(),)))

    monkeypatch.setattr(Scope, "row_key", key)
    cache = RowCache(Store(1 << 20, 60.0, cache_metrics), cache_metrics)
    first, _ = await ask(cache, one)
    leaked, computed = await ask(cache, other)
    assert (leaked, computed) == (first, 0)
    assert leaked != [answer(row, other.bundle, other.tenant) for row in other.as_rows()]
