"""A small valid bundle, so that each test changes one thing of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from symbiont.bundle import BundleManifest, write_bundle
from symbiont.common.artifacts import ArtifactStore

KEY = "base_model.model.encoder.layer.0.attention.self.query.lora_{}.weight"


@dataclass
class Draft:
    """What a bundle is written from; its base has hidden size 8."""

    fields: dict[str, Any]
    adapter: dict[str, Any]
    head: dict[str, Any]

    @property
    def manifest(self) -> BundleManifest:
        return BundleManifest.model_validate(self.fields)

    def write(self, store: ArtifactStore) -> str:
        return write_bundle(store, self.manifest, self.adapter, self.head)


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def draft() -> Draft:
    generator = np.random.default_rng(1)
    return Draft(
        fields={
            "base_digest": "b" * 64,
            "tokenizer_digest": "c" * 64,
            "max_tokens": 32,
            "labels": ["no", "yes"],
            "method": {"kind": "lora", "rank": 2, "alpha": 4.0, "target_modules": ["query"]},
            "head": {"kind": "classification", "pooling": "mean", "hidden_size": 8, "num_labels": 2},
            "metrics": {"accuracy": 0.5},
            "lineage": {
                "job": "jobs/j1",
                "training_dataset": "d" * 64,
                "evaluation_dataset": "",
                "seed": 1,
                "code_version": "0.1.0",
            },
            "golden": {"input_ids": [[1, 2]], "logits": [[0.0, 1.0]]},
        },
        adapter={
            KEY.format("A"): generator.normal(size=(2, 8)).astype(np.float32),
            KEY.format("B"): generator.normal(size=(8, 2)).astype(np.float32),
        },
        head={"weight": np.ones((2, 8), np.float32), "bias": np.zeros(2, np.float32)},
    )
