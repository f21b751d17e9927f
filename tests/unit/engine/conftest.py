"""One tiny base with bundles of many shapes, shared by all tests of the engine."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from support.bundles import Reference, random_bundle, tiny_base
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.torch_runtime import TorchRuntime


@dataclass(frozen=True)
class World:
    store: ArtifactStore
    base: str
    runtime: TorchRuntime
    references: dict[str, Reference]

    @property
    def bundles(self) -> list[str]:
        return list(self.references)


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
    ]
    references = dict(random_bundle(store, base, seed=seed, **shape) for seed, shape in enumerate(shapes))
    return World(store, base, TorchRuntime(store, base, threads=1), references)


@pytest.fixture
def engine(world) -> Engine:
    return Engine(world.runtime, world.store)


@pytest.fixture
def make_engine(world) -> Callable[..., Engine]:
    return lambda **settings: Engine(world.runtime, world.store, **settings)
