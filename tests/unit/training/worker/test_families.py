"""Every family of base models that can be registered is trained, and served with the same numbers."""

from pathlib import Path

import numpy as np
import pytest

from support.attempts import Run
from support.registry import tiny_spec, upload
from support.tiny import csv_of, labelled_rows, save_base
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.training import bases, types
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.types import Source
from symbiont.training.worker.attempt import Attempt, run_attempt
from symbiont.training.worker.commands import Command
from symbiont.training.worker.loop import Loop
from symbiont.training.worker.network import infer


@pytest.mark.parametrize("family", sorted(bases.FAMILIES))
def test_a_family_is_trained_and_served(
    family: str, store: Store, artifacts: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_base(tmp_path / family, family=family)
    base = store.add_base(bases.register(artifacts, "tiny", Source("folder", str(folder)), "", ""))
    store.add_dataset(upload(artifacts, csv_of(labelled_rows(40))))
    assert (base.max_tokens, base.hidden_size) == (64, 32)
    spec, inputs = resolve(tiny_spec(hyperparameters={"epochs": 2, "learning_rate": 0.01}), store)
    worker = Run(store, artifacts)
    reports: list[types.Report] = []
    networks = []
    run = Loop.run
    monkeypatch.setattr(Loop, "run", lambda loop, first=0: (networks.append(loop.network), run(loop, first))[1])
    attempt = Attempt("job-test", spec, inputs, "")
    run_attempt(attempt, artifacts, worker.tokenize, reports.append, lambda: Command.GO)
    done = reports[-1]
    assert isinstance(done, types.Done)
    engine = Engine(TorchRuntime(artifacts, base.digest), artifacts)
    # Different lengths in one batch, one of them as long as the base takes: padding must not matter anywhere.
    texts = [text for text, _ in labelled_rows(8, seed=3)]
    rows = [row.ids for row in worker.tokenize(base.tokenizer_digest, texts, 64)]
    asked = [*rows, np.full(64, 7, np.int64)]
    answers = engine.infer([Row(ids.astype(np.int32), done.bundle_digest) for ids in asked])
    for ids, answer in zip(asked, answers, strict=True):
        assert isinstance(answer, np.ndarray), answer
        np.testing.assert_allclose(answer, infer(networks[0], [ids])[0], rtol=0, atol=1e-5)
