"""Fakes of everything around the inference domain, and a few versions to play with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from symbiont.bundle import ClassificationHead
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound, SymbiontError, Unavailable
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.releases.disagreements import Disagreements
from symbiont.inference.releases.releases import Releases
from symbiont.inference.releases.shadow import Shadows
from symbiont.inference.table import RoutingTable
from symbiont.inference.tokens import TokenQuery, Tokens
from symbiont.inference.types import Alias, AliasUpdate, BundleInfo, ModelVersion, Release, ReleaseRules

BASE, OTHER_BASE, TOKENIZER = "a" * 64, "b" * 64, "c" * 64


def make_version(model: str = "x", number: int = 1, base: str = BASE) -> ModelVersion:
    return ModelVersion(model, number, f"{number:x}".rjust(64, "d"), base, TOKENIZER)


def make_alias(
    model: str = "x", alias: str = "production", number: int = 1, base: str = BASE, release: Release | None = None
) -> Alias:
    return Alias(model, alias, make_version(model, number, base), release)


def make_release(
    number: int = 2, weight: int = 10, shadow: bool = False, base: str = BASE, name: str = "r1", **rules: Any
) -> Release:
    """A release on models/x@production whose candidate is version `number`."""
    name = f"models/x/aliases/production/releases/{name}"
    return Release(name, make_version("x", number, base), weight, shadow, ReleaseRules(**rules))


class FakeRegistry:
    """A registry in memory. `streams` holds, per watch, what it yields before it ends; the last one stays open."""

    def __init__(self) -> None:
        self.known: list[Alias] = []
        self.versions: list[ModelVersion] = []
        self.streams: list[list[AliasUpdate | SymbiontError]] = []
        self.watches = 0
        self.asked: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.down = False

    async def watch(self) -> AsyncIterator[AliasUpdate]:
        self.watches += 1
        if not self.streams:
            await asyncio.sleep(60)
        for event in self.streams.pop(0):
            if isinstance(event, SymbiontError):
                raise event
            yield event

    async def aliases(self, model: str, timeout_s: float) -> Sequence[Alias]:
        self._enter(model)
        found = [alias for alias in self.known if alias.model == model]
        if not found:
            raise NotFound(f"models/{model} is unknown to the registry")
        return found

    async def version(self, model: str, number: int, timeout_s: float) -> ModelVersion:
        self._enter(f"{model}/{number}")
        for version in self.versions:
            if (version.model, version.number) == (model, number):
                return version
        raise NotFound("no such version")

    async def end_release(self, name: str, reason: str, timeout_s: float) -> None:
        self._enter(name)
        self.ended.append((name, reason))

    def _enter(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise Unavailable("the training service cannot be reached")


class FakeHosts:
    """Hosts in memory: the logits of a row are its bundle's, whatever its ids."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.loads: list[str] = []
        self.logits: dict[str, Sequence[float]] = {}
        self.calls: list[tuple[str, list[list[int]], float, str]] = []
        self.bundles: list[list[str]] = []
        self.features: list[list[list[float]]] = []
        self.turns: list[dict[str, Any]] = []
        self.error: SymbiontError | None = None
        # Rows of these have an error of their own.
        self.broken: set[str] = set()
        # A request of more rows than this fails.
        self.largest: tuple[int, SymbiontError] | None = None
        self.seconds = 0.0
        # Base -> seconds beside these.
        self.slow: dict[str, float] = {}
        self.most_at_once = 0
        self._at_once = 0

    async def host_ready(self, base_digest: str) -> bool:
        return base_digest in self.loaded

    async def ensure_host(self, base_digest: str) -> None:
        self.loads.append(base_digest)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.loaded.add(base_digest)

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float, request_id: str, **turn: Any
    ) -> HostAnswer:
        self.calls.append((base_digest, [row.input_ids.tolist() for row in rows], timeout_s, request_id))
        self.bundles.append([row.bundle for row in rows])
        self.features.append([row.features.tolist() for row in rows])
        self.turns.append(turn)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self.seconds + self.slow.get(base_digest, 0))
        finally:
            self._at_once -= 1
        if isinstance(self.error, NotFound | InvalidArgument | IntegrityError):
            # Of these each row has its own.
            return HostAnswer([self.error] * len(rows), Times())
        if self.error:
            raise self.error
        if self.largest and len(rows) > self.largest[0]:
            raise self.largest[1]
        return HostAnswer([self._value(row.bundle) for row in rows], Times(0.001, 0.002))

    def _value(self, bundle: str) -> Any:
        if bundle in self.broken:
            return IntegrityError(f"bundles/{bundle}: damaged")
        return np.array(self.logits[bundle], dtype=np.float32)


class FakeTokens:
    """Every text is its length in words; cut to `max_tokens` when that is given."""

    def __init__(self) -> None:
        self.digest = TOKENIZER
        self.calls: list[tuple[str, int, float]] = []
        self.error: SymbiontError | None = None
        self.seconds = 0.0

    async def tokenize(self, digest: str, query: TokenQuery, max_tokens: int, timeout_s: float) -> Tokens:
        self.calls.append((digest, max_tokens, timeout_s))
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        lengths = [len(text.split()) for text in query.texts]
        cut = [min(length, max_tokens or length) for length in lengths]
        rows = [np.arange(length, dtype=np.int32) for length in cut]
        return Tokens(rows, [a < b for a, b in zip(cut, lengths, strict=True)], self.digest)


def make_releases(
    table: RoutingTable, registry: FakeRegistry, hosts: FakeHosts, shelf: BundleShelf, metrics: InferenceMetrics
) -> tuple[Releases, Shadows, Disagreements]:
    """Joins the parts of releases, as the process does."""
    disagreements = Disagreements(4)
    shadows = Shadows(table, shelf, disagreements, metrics, timeout_s=1.0)
    return Releases(table, registry, hosts, shadows, metrics), shadows, disagreements


@pytest.fixture
def version() -> Callable[..., ModelVersion]:
    return make_version


@pytest.fixture
def alias() -> Callable[..., Alias]:
    return make_alias


@pytest.fixture
def release() -> Callable[..., Release]:
    return make_release


@pytest.fixture
def info() -> BundleInfo:
    head = ClassificationHead(pooling="mean", hidden_size=4, num_labels=3)
    return BundleInfo(head, ("no", "yes", "perhaps"), 2.0, BASE, TOKENIZER, 64)


@pytest.fixture
def prometheus() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(prometheus: CollectorRegistry) -> InferenceMetrics:
    return InferenceMetrics(prometheus)


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def releases_of() -> Callable[..., tuple[Releases, Shadows, Disagreements]]:
    return make_releases


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], object]:
    """Waits until something holds."""

    async def wait(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110, what is waited for tells nobody
                await asyncio.sleep(0.002)

    return wait
