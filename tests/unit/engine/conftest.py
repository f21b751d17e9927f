"""One tiny base with bundles of many shapes, shared by all tests of the engine."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from support.bundles import Reference, random_bundle, tiny_base
from symbiont.bundle import CategoryField, FlagField, NumberField
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.row import Ids, Row
from symbiont.engine.torch_runtime import TorchRuntime

FIELDS = (
    NumberField(name="income", mean=3.0, deviation=2.0),
    CategoryField(name="region", values=("north", "south", "其他")),
    FlagField(name="owner"),
)


@dataclass(frozen=True)
class World:
    store: ArtifactStore
    base: str
    runtime: TorchRuntime
    references: dict[str, Reference]

    @property
    def bundles(self) -> list[str]:
        return list(self.references)

    def row(self, ids: Ids, bundle: str = "", seed: int = 0) -> Row:
        """Returns a row with what its bundle needs: random features, and a second text in some rows."""
        random = np.random.default_rng(seed)
        width = self.references[bundle].features if bundle else 0
        return Row(ids, bundle, int(random.integers(0, len(ids))), random.random(width, dtype=np.float32))


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    store = ArtifactStore(tmp_path_factory.mktemp("artifacts"))
    base = tiny_base(store)
    shapes = [
        {"rank": 4, "num_labels": 3},
        {"rank": 4, "num_labels": 3, "pooling": "cls"},
        {"rank": 0, "num_labels": 2},
        {"rank": 0, "num_labels": 11, "pooling": "cls"},
        {"rank": 16, "num_labels": 7, "target_modules": ("dense",), "rslora": True},
        {"rank": 1, "num_labels": 1, "target_modules": ("query", "key", "value", "dense")},
        {"rank": 2, "num_labels": 5, "target_modules": ("attention.output.dense",)},
        {"rank": 3, "num_labels": 4, "adalora": True},
        {"rank": 5, "num_labels": 3, "houlsby": "gelu", "target_modules": ("output.dense",)},
        {"rank": 12, "num_labels": 2, "houlsby": "relu", "target_modules": ("output.dense",), "pooling": "cls"},
        {"rank": 2, "num_labels": 6, "houlsby": "gelu", "target_modules": ("query", "attention.output.dense")},
        {"rank": 8, "num_labels": 2, "adalora": True, "target_modules": ("query", "dense"), "pooling": "cls"},
        {"prefix": 7, "num_labels": 3},
        {"prefix": 1, "num_labels": 2, "pooling": "cls"},
        {"task": "multi_label", "num_labels": 4},
        {"task": "score", "rank": 3, "fields": FIELDS, "houlsby": "gelu", "target_modules": ("output.dense",)},
        {"task": "classification", "fields": FIELDS, "num_labels": 2, "pooling": "cls"},
        {"task": "embedding", "num_labels": 8},
        {"task": "embedding", "num_labels": 0, "rank": 0},
        {"task": "embedding", "num_labels": 0, "pooling": "cls"},
        {"task": "entities", "num_labels": 4},
        {"task": "entities", "num_labels": 2, "rank": 0},
        {"task": "spans", "adalora": True},
        {"task": "spans", "prefix": 3},
        {"bitfit": True, "num_labels": 3},
        {"bitfit": True, "num_labels": 2, "pooling": "cls"},
    ]
    references = dict(random_bundle(store, base, seed=seed, **shape) for seed, shape in enumerate(shapes))
    return World(store, base, TorchRuntime(store, base, threads=1), references)


@pytest.fixture
def engine(world) -> Engine:
    return Engine(world.runtime, world.store)


@pytest.fixture
def make_engine(world) -> Callable[..., Engine]:
    return lambda **settings: Engine(world.runtime, world.store, **settings)
