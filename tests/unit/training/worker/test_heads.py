"""Every head is learnt from its rows, measured by what was promised, and resumed bit for bit."""

import random
from dataclasses import replace

import pytest

from support.attempts import HYPER, Run
from support.registry import tiny_spec, upload_rows
from support.sampling import few
from support.tasks import HEADS
from support.tiny import BAD, FILLER, GOOD, labelled_rows
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training import types
from symbiont.training.data.rows import LabelKind
from symbiont.training.resolving import resolve
from symbiont.training.resolving_heads import METRICS, METRICS_OF_EMBEDDINGS
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt


@pytest.mark.parametrize("name", few(HEADS, "multi-label", "spans", "embedding"))
def test_a_head_is_learnt_and_resumed(name: str, registry: Store, artifacts: ArtifactStore) -> None:
    case = HEADS[name]
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


def telling_at_the_end(count: int) -> list[dict[str, str]]:
    """Rows whose only telling word stands behind ten others."""
    rows = []
    for number, (text, label) in enumerate(labelled_rows(count)):
        (word,) = [w for w in text.split() if w in (GOOD if label == "good" else BAD)]
        rows.append({"text": " ".join([*random.Random(number).choices(FILLER, k=10), word]), "label": label})
    return rows


def test_windows_see_what_a_cut_does_not(registry: Store, artifacts: ArtifactStore) -> None:
    registry.add_dataset(upload_rows(artifacts, telling_at_the_end(240), "long"))
    found = {}
    for windows in (False, True):
        run = Run(registry, artifacts)
        hyper = {"epochs": 8, "batch_size": 8, "learning_rate": 0.02, "max_tokens": 12}
        digest = run(run.attempt(dataset="datasets/long", windows=windows, hyperparameters=hyper, lora={}))
        (evaluation,) = run.of(types.Evaluation)
        assert evaluation.row_count == 48
        found[windows] = evaluation.accuracy
        warned = any(warning.code == "TEXTS_CUT" for warning in run.of(types.Warning))
        assert warned is not windows
        assert load_bundle(artifacts, digest).manifest.windows is windows
    assert found[True] >= found[False] + 0.2


@pytest.mark.parametrize("head", ["entities", "embedding"])
def test_windows_are_for_heads_on_whole_texts(registry: Store, artifacts: ArtifactStore, head: str) -> None:
    case = HEADS[head]
    registry.add_dataset(case.dataset(artifacts, "these"))
    with pytest.raises(InvalidArgument, match="windows: it is for") as refused:
        Run(registry, artifacts).attempt(dataset="datasets/these", windows=True, **case.head)
    assert refused.value.field == "training_job.spec.windows"
