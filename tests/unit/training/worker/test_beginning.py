"""A training that starts from a version goes on from what that answers, by every method and head, and resumes."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.attempts import HYPER, METHODS, Line
from support.registry import upload, upload_rows
from support.sampling import few
from support.tasks import HEADS
from support.tiny import csv_of, labelled_rows
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training import bases, types
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt

LITTLE = {**HYPER, "epochs": 1, "learning_rate": 1e-12, "warmup_fraction": 0.0, "weight_decay": 0.0}
LEARNT = {**HYPER, "epochs": 5, "learning_rate": 0.005, "checkpoint_interval": 1000}
ENOUGH = {**LEARNT, "batch_size": 16, "learning_rate": 0.01}
ALL_LAYERS = {"lora": {"target_modules": ["query", "key", "value", "dense"]}}


@pytest.fixture
def line(registry: Store, artifacts: ArtifactStore) -> Line:
    registry.add_dataset(upload(artifacts, csv_of(labelled_rows(40, seed=1)), "more"))
    return Line(registry, artifacts)


def bundle_of(line: Line, version: types.ModelVersion) -> Any:
    return load_bundle(line.artifacts, version.bundle_digest)


@pytest.mark.parametrize("method", few(METHODS, "lora", "full"))
def test_it_goes_on_where_the_version_was(line: Line, method: str) -> None:
    """With steps that change nothing, the new version answers as the old one does."""
    first = line.train(**METHODS[method])
    second = line.train(rows="more", start_from=first.name, hyperparameters=LITTLE)
    old, new = bundle_of(line, first).manifest, bundle_of(line, second).manifest
    assert new.lineage.started_from == first.bundle_digest
    assert old.lineage.started_from == ""
    assert (new.method, new.head, new.labels, new.max_tokens) == (old.method, old.head, old.labels, old.max_tokens)
    assert new.golden.input_ids == old.golden.input_ids
    np.testing.assert_allclose(new.golden.logits, old.golden.logits, rtol=0, atol=1e-4)
    assert (second.base_digest == first.base_digest) == (method != "full")


@pytest.mark.parametrize("head", few(HEADS, "fields-gated", "entities"))
def test_every_head_goes_on(line: Line, head: str) -> None:
    case = HEADS[head]
    for name, count in (("first", 40), ("second", 56)):
        line.registry.add_dataset(upload_rows(line.artifacts, case.rows(count), name, **case.header))
    first = line.train(rows="first", **case.head)
    second = line.train(rows="second", start_from=first.name, hyperparameters=LITTLE)
    old, new = bundle_of(line, first).manifest, bundle_of(line, second).manifest
    assert (new.head, new.fields, new.labels, new.input) == (old.head, old.fields, old.labels, old.input)
    np.testing.assert_allclose(new.golden.logits, old.golden.logits, rtol=0, atol=1e-4)
    changes = line.of(types.Evaluation)[-1].class_changes
    assert bool(changes) == (old.task in ("classification", "multi_label", "entities"))
    assert all(change.before == change.after for change in changes)


@pytest.mark.parametrize("method", few(METHODS, "adalora"))
def test_a_resumed_training_gives_the_same_bundle_bit_for_bit(line: Line, method: str) -> None:
    first = line.train(**METHODS[method])
    spec, inputs = line.resolved(dataset="datasets/more", start_from=first.name, replay={})
    attempt = Attempt("job-test", spec, inputs, "")
    whole = line(attempt)
    checkpoint = line.until(7, attempt)
    assert line(replace(attempt, checkpoint_digest=checkpoint.digest)) == whole


def test_a_checkpoint_that_is_lost_means_starting_from_the_version_again(line: Line) -> None:
    first = line.train()
    attempt = Attempt("job-test", *line.resolved(dataset="datasets/more", start_from=first.name), "")
    assert line(replace(attempt, checkpoint_digest="e" * 64)) == line(attempt)
    assert line.of(types.Warning)[0].code == "CHECKPOINT_LOST"


def test_new_labels_stand_behind_the_old_and_are_learnt(line: Line) -> None:
    rows = [*labelled_rows(60, seed=3), *((f"what is the rate {word} of this card", "ask") for word in "abcdef" * 8)]
    line.registry.add_dataset(upload(line.artifacts, csv_of(rows), "grown"))
    first = line.train()
    with pytest.raises(InvalidArgument, match="does not know 'ask'") as caught:
        line.train(rows="grown", start_from=first.name)
    assert caught.value.field == "training_job.spec.allow_new_labels"
    asked = {"rows": "grown", "start_from": first.name, "allow_new_labels": True}
    still = bundle_of(line, line.train(hyperparameters=LITTLE, **asked))
    assert still.manifest.labels == ("bad", "good", "ask")
    np.testing.assert_allclose(still.head["weight"][2], 0, atol=1e-9)
    # What the version knows it says as before, and the new label is as likely as it is frequent.
    logits, before = np.array(still.manifest.golden.logits), np.array(bundle_of(line, first).manifest.golden.logits)
    np.testing.assert_allclose(logits[:, :2], before, atol=1e-4)
    chance = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert 0.2 < chance[2] < 0.7
    line.train(hyperparameters=LEARNT, **asked)
    changes = {change.label: change for change in line.of(types.Evaluation)[-1].class_changes}
    assert (changes["ask"].before, changes["ask"].metric) == (0.0, "recall")
    assert changes["ask"].after > 0.8
    assert changes["ask"].low > 0


@pytest.fixture(scope="module")
def learnt_once(tiny_base: Path, tiny_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry in which is a version that knows its labels."""
    folder = tmp_path_factory.mktemp("learnt")
    artifacts = ArtifactStore(shutil.copytree(tiny_graph, folder / "artifacts"))
    store = Store(f"sqlite:///{folder}/symbiont.db")
    store.add_base(bases.register(artifacts, "tiny", types.Source("folder", str(tiny_base)), "tests", "MIT"))
    store.add_dataset(upload(artifacts, csv_of(labelled_rows(600)), "many"))
    version = Line(store, artifacts).train(rows="many", hyperparameters=ENOUGH, **ALL_LAYERS)
    assert version.evaluation.accuracy >= 0.8
    store.close()
    return folder


@pytest.fixture
def knowing(learnt_once: Path, tmp_path: Path) -> Iterator[Line]:
    """Has models/mood/versions/1, which knows its labels."""
    folder = shutil.copytree(learnt_once, tmp_path / "learnt")
    store = Store(f"sqlite:///{folder}/symbiont.db")
    yield Line(store, ArtifactStore(folder / "artifacts"))
    store.close()


def test_exchanged_labels_are_refused(knowing: Line) -> None:
    line, learnt = knowing, knowing.registry.version("mood", 1)
    other = {"good": "bad", "bad": "good"}
    rows = [(text, other[label]) for text, label in labelled_rows(60, seed=5)]
    line.registry.add_dataset(upload(line.artifacts, csv_of(rows), "exchanged"))
    with pytest.raises(InvalidArgument, match=r"of 'bad' for 'good'; \d+ of \d+ rows of 'good' for 'bad'") as caught:
        line.train(rows="exchanged", start_from=learnt.name)
    assert caught.value.reason == "LABELS_EXCHANGED"
    accepted = line.train(rows="exchanged", start_from=learnt.name, accept_changed_labels=True)
    assert accepted.number == learnt.number + 1


def test_the_classes_that_fell_are_named(knowing: Line) -> None:
    line, learnt = knowing, knowing.registry.version("mood", 1)
    # Only rows of one label, but for a few: the other one is forgotten.
    rows = [row for row in labelled_rows(200, seed=6) if row[1] == "good"] + [("bad bank", "bad"), ("bad loan", "bad")]
    line.registry.add_dataset(upload(line.artifacts, csv_of(rows), "lopsided"))
    hyper = {**ENOUGH, "epochs": 6}
    line.train(rows="lopsided", start_from=learnt.name, hyperparameters=hyper)
    changes = {change.label: change for change in line.of(types.Evaluation)[-1].class_changes}
    assert changes["bad"].worse
    # Rows that judged the version before judge again.
    assert changes["bad"].row_count >= 60
    (warning,) = [warning for warning in line.of(types.Warning) if warning.code == "CLASS_WORSE"]
    assert "recall of 'bad'" in warning.text
    assert "'good'" not in warning.text
    line.reports.clear()
    line.train(rows="lopsided", start_from=learnt.name, hyperparameters=hyper, replay={"fraction": 0.4})
    kept = {change.label: change for change in line.of(types.Evaluation)[-1].class_changes}
    assert kept["bad"].after > changes["bad"].after
