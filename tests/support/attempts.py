"""Attempts at jobs in this process, without controller and tokenization: what a worker does, step by step."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from support.registry import tiny_spec
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import types
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt, run_attempt
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import StopRequested

HYPER = {"epochs": 6, "batch_size": 8, "learning_rate": 0.02, "checkpoint_interval": 5}


class Run:
    """Runs attempts on the registry's rows and keeps what they report."""

    def __init__(self, registry: Store, artifacts: ArtifactStore) -> None:
        self.registry = registry
        self.artifacts = artifacts
        self.reports: list[types.Report] = []

    def attempt(self, **changes: Any) -> Attempt:
        spec, inputs = resolve(tiny_spec(**{"hyperparameters": HYPER, **changes}), self.registry)
        return Attempt("job-test", spec, inputs, "")

    def tokenize(self, digest: str, texts: Sequence[str], max_tokens: int) -> list[np.ndarray]:
        path = self.artifacts.path("tokenizers", digest) / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
        return [np.array(e.ids[:max_tokens], np.int64) for e in tokenizer.encode_batch(list(texts))]

    def __call__(self, attempt: Attempt, command: Callable[[], Command] = lambda: Command.GO) -> str:
        run_attempt(attempt, self.artifacts, self.tokenize, self.reports.append, command)
        done = self.reports[-1]
        assert isinstance(done, types.Done)
        return done.bundle_digest

    def until(self, step: int, attempt: Attempt) -> types.CheckpointSaved:
        """Runs an attempt until it is stopped after a step; returns its checkpoint."""
        # Where the base sees all rows first, it is asked once before the first step.
        asked = iter(range(0 if attempt.spec.head_only else 1, 100))
        with pytest.raises(StopRequested):
            self(attempt, lambda: Command.STOP if next(asked) == step else Command.GO)
        checkpoint = self.reports[-1]
        assert isinstance(checkpoint, types.CheckpointSaved)
        assert checkpoint.step == step
        return checkpoint

    def of(self, kind: type) -> list[Any]:
        return [report for report in self.reports if isinstance(report, kind)]


# Every way to train something beside the head, and the head alone.
METHODS: dict[str, dict[str, Any]] = {
    "head-only": {"head_only": {}},
    "lora": {"lora": {"target_modules": ["query", "value", "dense"]}},
    "lora-plus": {"lora": {"rank": 4, "rank_stabilized": True, "b_learning_rate_ratio": 4}},
    "adalora": {"adalora": {"rank": 2, "initial_rank": 4}},
    "houlsby": {"houlsby": {"size": 8}},
    "prefix": {"prefix": {"virtual_tokens": 4}},
    "prefix-projected": {"prefix": {"virtual_tokens": 4, "projection_size": 16}},
}
