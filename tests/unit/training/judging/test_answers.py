"""A stored bundle that answers through the engine says what the network said when it was judged in training."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from support.attempts import Run
from support.registry import upload_rows
from support.sampling import few
from support.tasks import HEADS
from symbiont.bundle import MultiLabelHead, read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition
from symbiont.evaluation import Classified, Evidence, Floor, Gate, MultiLabelled, Outcome, Ragged, compare
from symbiont.training import types
from symbiont.training.data.rows import read_rows
from symbiont.training.evaluations import read_environment, read_outcome, read_report
from symbiont.training.judging.answers import answers
from symbiont.training.judging.work import Contender
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt
from symbiont.training.worker.task import read_divided

HYPER = {"epochs": 4, "batch_size": 8, "learning_rate": 0.02, "max_tokens": 10}


def contender(attempt: Attempt, digest: str) -> Contender:
    return Contender(
        name="models/mood/versions/1",
        bundle_digest=digest,
        base_digest=attempt.inputs.base_digest,
        tokenizer_digest=attempt.inputs.tokenizer_digest,
        spec=attempt.spec.model_dump(mode="json", exclude_none=True),
        inputs=asdict(attempt.inputs),
    )


def values(outcome: Outcome) -> dict[str, Any]:
    found = {}
    for name, value in vars(outcome).items():
        if isinstance(value, Ragged):
            found[name] = value.offsets.tolist(), value.values.tolist()
        elif name != "rows":
            found[name] = value
    return found


@pytest.mark.parametrize("name", few(HEADS, "classification", "fields-gated", "spans", "similarity"))
def test_says_what_training_said(registry: Store, artifacts: ArtifactStore, name: str) -> None:
    case = HEADS[name]
    registry.add_dataset(case.dataset(artifacts, "these", 120))
    run = Run(registry, artifacts)
    attempt = run.attempt(dataset="datasets/these", hyperparameters=HYPER, **case.head)
    digest = run(attempt)
    (done,) = run.of(types.Done)
    trained = read_outcome(artifacts, done.evaluation_digest)
    held = read_divided(artifacts, attempt.spec, attempt.inputs).held
    served = answers(artifacts, contender(attempt, digest), held, run.tokenize, timed=name == "score")
    assert (served.speed is not None) == (name == "score")
    assert type(served.outcome) is type(trained)
    assert np.array_equal(served.outcome.rows.ids, trained.rows.ids)
    expected = values(trained)
    for key, value in values(served.outcome).items():
        if key == "ranks":
            # Of vectors that are as near as these, arithmetic alone decides which is nearer.
            np.testing.assert_allclose(value[1], expected[key][1], atol=1)
        elif isinstance(value, np.ndarray):
            np.testing.assert_allclose(value, expected[key], atol=1e-4)
        else:
            assert value == expected[key], key
    report = read_report(artifacts, done.evaluation_digest)
    assert report.rows == len(trained)
    assert report.headlines
    assert report.origin.training_dataset == attempt.inputs.dataset_digest
    assert read_environment(artifacts, done.evaluation_digest).packages["torch"]


DECIDING: dict[str, tuple[str, dict[str, Any]]] = {
    "costs": (
        "classification",
        {"classification": {"binary_costs": {"positive_label": "good", "false_positive": 1, "false_negative": 50}}},
    ),
    "thresholds": ("multi-label", {"multi_label": {"thresholds": "THRESHOLDS_BEST_F1"}}),
}


@pytest.mark.parametrize("by", DECIDING)
def test_is_judged_by_what_is_answered(registry: Store, artifacts: ArtifactStore, by: str) -> None:
    name, head = DECIDING[by]
    registry.add_dataset(HEADS[name].dataset(artifacts, "these", 800))
    run = Run(registry, artifacts)
    attempt = run.attempt(dataset="datasets/these", hyperparameters={**HYPER, "epochs": 1, "seed": 1}, **head)
    digest = run(attempt)
    (done,) = run.of(types.Done)
    trained = read_outcome(artifacts, done.evaluation_digest)
    held = read_divided(artifacts, attempt.spec, attempt.inputs).held
    outcome = answers(artifacts, contender(attempt, digest), held, run.tokenize).outcome
    assert type(outcome) is type(trained)
    if isinstance(outcome, MultiLabelled):
        manifest = read_manifest(artifacts, digest)
        assert isinstance(manifest.head, MultiLabelHead)
        assert outcome.thresholds == manifest.head.thresholds != ()
        return
    assert isinstance(outcome, Classified)
    # A row of the dear label is missed no more, and what that is worth is a measure to judge by.
    probable = replace(outcome, answered=np.zeros(0, np.int64))
    assert (outcome.answered != probable.logits.argmax(axis=1)).any()
    assert outcome.costs == ((0, 1), (50, 0))
    measured = compare(outcome, probable).differences
    (cost,) = (each for each in measured if each.metric == "mean_cost")
    assert cost.gain.value > 0
    cheap = Gate(rules=(Floor(metric="mean_cost", value=cost.candidate),))
    assert cheap.judge(Evidence(outcome)).passed
    assert not cheap.judge(Evidence(probable)).passed


def test_labels_that_a_version_does_not_know_are_never_said(registry: Store, artifacts: ArtifactStore) -> None:
    run = Run(registry, artifacts)
    attempt = run.attempt(hyperparameters=HYPER)
    digest = run(attempt)
    rows = [{"text": "the bank was pleased", "label": label} for label in ("good", "new", "bad", "other")]
    dataset = upload_rows(artifacts, rows, "grown")
    said = answers(
        artifacts, contender(attempt, digest), list(read_rows(artifacts, dataset.digest)), run.tokenize
    ).outcome
    assert isinstance(said, Classified)
    assert said.labels == ("bad", "good", "new", "other")
    assert said.truth.tolist() == [1, 2, 0, 3]
    assert set(said.logits.argmax(axis=1)) <= {0, 1}


def test_rows_of_another_task_are_refused(registry: Store, artifacts: ArtifactStore) -> None:
    run = Run(registry, artifacts)
    registry.add_dataset(HEADS["score"].dataset(artifacts, "numbers", 40))
    scored = run.attempt(dataset="datasets/numbers", hyperparameters=HYPER, score={})
    digest = run(scored)
    with pytest.raises(FailedPrecondition, match="is judged by"):
        answers(
            artifacts,
            contender(scored, digest),
            list(read_rows(artifacts, registry.dataset("rows").digest)),
            run.tokenize,
        )
