"""Every head is learnt from its rows, measured by what was promised, and resumed bit for bit."""

from dataclasses import replace

import pytest

from support.attempts import HYPER, Run
from support.registry import tiny_spec
from support.tasks import HEADS, HeadCase
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import types
from symbiont.training.data.rows import LabelKind
from symbiont.training.resolving import resolve
from symbiont.training.resolving_heads import METRICS, METRICS_OF_EMBEDDINGS
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt


@pytest.mark.parametrize("case", HEADS.values(), ids=HEADS)
def test_a_head_is_learnt_and_resumed(case: HeadCase, registry: Store, artifacts: ArtifactStore) -> None:
    dataset = registry.add_dataset(case.dataset(artifacts, "task"))
    spec = tiny_spec(dataset="datasets/task", lora={}, hyperparameters={**HYPER, "epochs": 3}, **case.head)
    attempt = Attempt("job-test", *resolve(spec, registry), "")
    straight, broken, resumed = (Run(registry, artifacts) for _ in range(3))
    digest = straight(attempt)
    checkpoint = broken.until(7, attempt)
    assert resumed(replace(attempt, checkpoint_digest=checkpoint.digest)) == digest
    (evaluation,) = straight.of(types.Evaluation)
    manifest = load_bundle(artifacts, digest).manifest
    embeds, kind = manifest.task == "embedding", LabelKind(dataset.label_kind)
    promised = METRICS_OF_EMBEDDINGS[kind] if embeds else METRICS[manifest.task]
    assert sorted(name for name, _ in evaluation.metrics) == sorted(promised)
    assert evaluation.primary_metric == promised[1]
    assert dict(manifest.metrics) == dict(evaluation.metrics)
    # What it is asked with follows from the rows, and what it gets beside the text is in it.
    pairs = bool(dataset.pair_column) and not embeds
    assert manifest.input == ("pair" if pairs else "text")
    assert bool(manifest.fields) == ("business_fields" in case.head)
