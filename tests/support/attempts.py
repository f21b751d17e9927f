"""Attempts at jobs in this process, without controller and tokenization: what a worker does, step by step."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Encoding, Tokenizer

from support.registry import tiny_spec
from support.tracked_jobs import StoredJob
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import types
from symbiont.training.heads import head_for
from symbiont.training.resolving import SPEC, resolve
from symbiont.training.spec import TrainingSpec
from symbiont.training.starting import find_start
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt, run_attempt
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import StopRequested
from symbiont.training.worker.examples import Encoded

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

    def tokenize(
        self,
        digest: str,
        texts: Sequence[str],
        max_tokens: int,
        *,
        pairs: Sequence[str] = (),
        stride: int | None = None,
        places: bool = False,
    ) -> list[Encoded]:
        """As the tokenization service does, by the library alone."""
        tokenizer = Tokenizer.from_file(str(self.artifacts.path("tokenizers", digest) / "tokenizer.json"))
        # Some that are published pad every text to 128 tokens.
        tokenizer.no_padding()
        cut = {"strategy": "only_second"} if pairs and stride is not None else {}
        tokenizer.enable_truncation(max_tokens, stride=stride or 0, **cut)
        made = tokenizer.encode_batch(list(zip(texts, pairs, strict=True)) if pairs else list(texts))
        rows = [
            (number, row)
            for number, encoding in enumerate(made)
            for row in [encoding, *(encoding.overflowing if stride is not None else ())]
        ]
        return [_encoded(number, row, places=places) for number, row in rows]

    def __call__(self, attempt: Attempt, command: Callable[[], Command] = lambda: Command.GO) -> str:
        run_attempt(attempt, self.artifacts, self.tokenize, self.reports.append, command)
        done = self.reports[-1]
        assert isinstance(done, types.Done)
        return done.bundle_digest

    def until(self, step: int, attempt: Attempt) -> types.CheckpointSaved:
        """Runs an attempt until it is stopped after a step; returns its checkpoint."""
        # Where the base sees all rows first, it is asked once before the first step.
        head, _ = head_for(attempt.spec)
        once = attempt.spec.head_only and not head.on_tokens and not head.compares
        asked = iter(range(0 if once else 1, 100))
        with pytest.raises(StopRequested):
            self(attempt, lambda: Command.STOP if next(asked) == step else Command.GO)
        checkpoint = self.reports[-1]
        assert isinstance(checkpoint, types.CheckpointSaved)
        assert checkpoint.step == step
        return checkpoint

    def of(self, kind: type) -> list[Any]:
        return [report for report in self.reports if isinstance(report, kind)]


def _encoded(number: int, row: Encoding, *, places: bool) -> Encoded:
    ids, types = np.array(row.ids, np.int64), np.array(row.type_ids)
    start = int((types > 0).argmax())
    if not places:
        return Encoded(ids, number, start)
    minus = lambda values: np.array([-1 if v is None else v for v in values], np.int64)  # noqa: E731
    starts, ends = np.array(row.offsets, np.int64).T
    return Encoded(ids, number, start, minus(row.sequence_ids), minus(row.word_ids), starts, ends)


# Every way to train something beside the head, and the head alone.
METHODS: dict[str, dict[str, Any]] = {
    "head-only": {"head_only": {}},
    "lora": {"lora": {"target_modules": ["query", "value", "dense"]}},
    "lora-plus": {"lora": {"rank": 4, "rank_stabilized": True, "b_learning_rate_ratio": 4}},
    "adalora": {"adalora": {"rank": 2, "initial_rank": 4}},
    "houlsby": {"houlsby": {"size": 8}},
    "bitfit": {"bitfit": {}},
    "prefix": {"prefix": {"virtual_tokens": 4}},
    "full": {"full": {}},
    "prefix-projected": {"prefix": {"virtual_tokens": 4, "projection_size": 16}},
}


class Line(Run):
    """Trains versions of models/mood, each registered, so that another may start from it."""

    def train(self, *, rows: str = "rows", **changes: Any) -> types.ModelVersion:
        """Trains a version on a dataset and registers it, as job and worker would."""
        made = self._done(rows, **changes).model_version
        model, _, number = made.removeprefix("models/").partition("/versions/")
        return self.registry.version(model, int(number))

    def adapt(self, base: str, *, rows: str = "rows", **changes: Any) -> types.BaseModel:
        """Adapts the base to a dataset and registers what comes out."""
        shape = {"model": None, "derived_base": f"bases/{base}", "masked_tokens": {}}
        return self.registry.base(self._done(rows, **shape, **changes).derived_base.removeprefix("bases/"))

    def _done(self, rows: str, **changes: Any) -> types.Job:
        spec, inputs = self.resolved(dataset=f"datasets/{rows}", **changes)
        job = StoredJob(self.registry, inputs, spec=spec).start()
        begun = len(self.reports)
        self(Attempt(job.id, spec, inputs, ""))
        made = self.reports[begun:]
        saved = [report for report in made if isinstance(report, types.CheckpointSaved)]
        judged = [report for report in made if isinstance(report, types.Evaluation)]
        job.say(*saved, types.EvaluationStarted(), *judged, made[-1])
        return self.registry.job(job.id)

    def resolved(self, **changes: Any) -> tuple[TrainingSpec, types.Inputs]:
        """Returns a spec as the service resolves it, from a version where it says so."""
        spec = tiny_spec(**{"hyperparameters": HYPER, **changes})
        return resolve(spec, self.registry, find_start(spec, self.registry, self.artifacts, SPEC))
