"""What a version dictates is taken from it, and a spec that says otherwise is refused, naming the field and both."""

from typing import Any

import pytest

from support.attempts import METHODS, Line
from support.registry import upload, upload_rows
from support.tasks import HEADS
from support.tiny import csv_of, labelled_rows
from symbiont.bundle import read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound, SymbiontError
from symbiont.training.convert import spec_from_proto, spec_to_proto
from symbiont.training.methods import method_for
from symbiont.training.planning.planning import FIELD
from symbiont.training.spec import parse_spec
from symbiont.training.store import Store

QUICK = {"epochs": 1, "batch_size": 16}


@pytest.fixture
def line(registry: Store, artifacts: ArtifactStore) -> Line:
    return Line(registry, artifacts)


def refused(line: Line, **changes: Any) -> SymbiontError:
    with pytest.raises((InvalidArgument, NotFound, FailedPrecondition)) as caught:
        line.resolved(**changes)
    return caught.value


@pytest.mark.parametrize("method", METHODS)
def test_the_shape_is_the_versions(line: Line, method: str) -> None:
    version = line.train(hyperparameters=QUICK, **METHODS[method])
    spec, inputs = line.resolved(start_from=version.name)
    job = line.registry.job(version.job)
    (key,) = METHODS[method]
    chosen, settings = method_for(spec)
    assert chosen.entry(settings) == read_manifest(line.artifacts, version.bundle_digest).method
    assert (inputs.start_digest, inputs.base_digest) == (version.bundle_digest, version.base_digest)
    assert spec.hyperparameters.max_tokens == job.spec.hyperparameters.max_tokens
    # Saying the same changes nothing, and a spec that is resolved may be sent again.
    assert line.resolved(**spec.model_dump(mode="json", exclude_none=True)) == (spec, inputs)
    assert spec_from_proto(spec_to_proto(spec)) == spec
    other = {"lora": {}} if key != "lora" else {"head_only": {}}
    error = refused(line, start_from=version.name, **other)
    assert error.field == f"training_job.spec.{next(iter(other))}"
    assert f"{version.name} has {key!r}" in str(error)


# What a version was asked with -> what is said of it then, the field that is at fault, and what of the values is told.
OTHERWISE: dict[str, tuple[dict[str, Any], list[tuple[dict[str, Any], str, str]]]] = {
    "lora rank": (
        {"lora": {"rank": 4}},
        [({"lora": {"rank": 8}}, "lora.rank", "given as 8, where models/mood/versions/1 has 4")],
    ),
    "adalora": (
        {"adalora": {"rank": 2}},
        [({"adalora": {"initial_rank": 9}}, "adalora.initial_rank", "given as 9")],
    ),
    "houlsby": ({"houlsby": {"size": 4}}, [({"houlsby": {"size": 8}}, "houlsby.size", "given as 8")]),
    "prefix": ({"prefix": {}}, [({"prefix": {"virtual_tokens": 3}}, "prefix.virtual_tokens", "has 16")]),
    "as it comes": (
        {},
        [
            ({"lora": {"target_modules": ["key"]}}, "lora.target_modules", "given as ['key']"),
            ({"lora": {"alpha": 3}}, "lora.alpha", "given as 3.0, where models/mood/versions/1 has 16.0"),
            ({"hidden_layers": [8]}, "hidden_layers", "given as [8], where models/mood/versions/1 has []"),
            ({"hyperparameters": {"max_tokens": 9}}, "hyperparameters.max_tokens", "given as 9"),
            ({"business_fields": {}}, "business_fields", "takes none"),
            ({"multi_label": {}}, "multi_label", "has 'classification'"),
            ({"classification": {"labels": ["good", "bad"]}}, "classification.labels", "['good', 'bad']"),
            ({"classification": {"labels": ["bad", "new"]}}, "classification.labels", "'good' is not among"),
            ({"classification": {"labels": ["bad", "good", "new"]}}, "allow_new_labels", "does not know 'new'"),
            ({"replay": {"dataset": "datasets/none"}}, "replay.dataset", "datasets/none does not exist"),
            ({"base_model": "bases/other"}, "base_model", "lives on bases/tiny"),
        ],
    ),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_a_spec_that_says_otherwise(line: Line, case: str) -> None:
    first, said = OTHERWISE[case]
    version = line.train(hyperparameters=QUICK, **first)
    for then, field, values in said:
        error = refused(line, start_from=version.name, **then)
        assert error.field == f"training_job.spec.{field}", then
        assert values in str(error), then


def test_new_labels_stand_behind_the_old_ones(line: Line) -> None:
    rows = [*labelled_rows(20), *(("a card", "ask"), ("the card", "ask"))]
    line.registry.add_dataset(upload(line.artifacts, csv_of(rows), "grown"))
    version = line.train(hyperparameters=QUICK, classification={"labels": ["good", "bad"]})
    asked: dict[str, Any] = {"start_from": version.name, "dataset": "datasets/grown"}
    assert refused(line, **asked).reason == "NEW_LABELS"
    spec, _ = line.resolved(allow_new_labels=True, **asked)
    assert spec.classification
    assert spec.classification.labels == ("good", "bad", "ask")


COSTS = {"positive_label": "good", "false_positive": 1, "false_negative": 9}


def test_what_answers_cost_is_taken_too_unless_it_is_said(line: Line) -> None:
    version = line.train(hyperparameters=QUICK, classification={"binary_costs": COSTS})
    spec, _ = line.resolved(start_from=version.name)
    assert spec.classification
    assert spec.classification.costs == ((0, 1), (9, 0))
    spec, _ = line.resolved(start_from=version.name, classification={"binary_costs": {**COSTS, "false_positive": 2}})
    assert spec.classification
    assert spec.classification.costs == ((0, 2), (9, 0))


def test_thresholds_are_tuned_as_before_unless_it_is_said(line: Line) -> None:
    line.registry.add_dataset(HEADS["multi-label"].dataset(line.artifacts, "many"))
    tuned = {"thresholds": "THRESHOLDS_BEST_F1"}
    version = line.train(rows="many", hyperparameters=QUICK, multi_label=tuned)
    spec, _ = line.resolved(dataset="datasets/many", start_from=version.name)
    assert spec.multi_label
    assert spec.multi_label.thresholds == "THRESHOLDS_BEST_F1"


def test_the_limits_of_a_score_are_those_that_were_given(line: Line) -> None:
    # 0.2 + (0.9 - 0.2) is less than 0.9.
    rows = [{"text": text, "label": 0.9 if label == "good" else 0.2} for text, label in labelled_rows(20)]
    line.registry.add_dataset(upload_rows(line.artifacts, rows, "rated", label_kind="NUMBER"))
    limits = {"minimum": 0.2, "maximum": 0.9}
    version = line.train(rows="rated", hyperparameters=QUICK, score=limits)
    for said in ({}, {"score": limits}):
        spec, _ = line.resolved(dataset="datasets/rated", start_from=version.name, **said)
        assert spec.score
        assert (spec.score.minimum, spec.score.maximum) == (0.2, 0.9)
    error = refused(line, dataset="datasets/rated", start_from=version.name, score={"minimum": 0.2, "maximum": 1})
    assert error.field == "training_job.spec.score.maximum"


def test_layers_of_a_customers_own_are_learnt_from_the_base_only(line: Line) -> None:
    version = line.train(hyperparameters=QUICK)
    error = refused(line, start_from=version.name, own_module={"name": "crossed"})
    assert error.field == "training_job.spec.own_module"
    assert "has no layers of a customer's own" in str(error)


def test_an_alias_means_the_version_that_it_points_at_now(line: Line) -> None:
    version = line.train(hyperparameters=QUICK)
    line.registry.set_alias("mood", "production", 1)
    spec, inputs = line.resolved(start_from="models/mood/aliases/production")
    assert (spec.start_from, inputs.start_digest) == (version.name, version.bundle_digest)
    assert refused(line, start_from="models/mood/aliases/staging").field == "training_job.spec.start_from"
    assert refused(line, start_from="models/mood/versions/7").field == "training_job.spec.start_from"


@pytest.mark.parametrize("start", ["mood", "models/mood", "models/mood/versions/0", "models/mood/versions/x"])
def test_what_is_no_version_is_refused(line: Line, start: str) -> None:
    error = refused(line, start_from=start)
    assert error.field == "training_job.spec.start_from"
    assert "models/{id}/versions/{number}" in str(error)


@pytest.mark.parametrize("name", [{"replay": {}}, {"allow_new_labels": True}, {"accept_changed_labels": True}])
def test_what_goes_with_a_start_alone(name: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="goes with start_from"):
        parse_spec({"base_model": "bases/b", "dataset": "datasets/d", "model": "models/m", **name}, FIELD)


def test_the_past_grows_by_one_with_each_version(line: Line) -> None:
    first = line.train(hyperparameters={**QUICK, "seed": 5}, holdout_fraction=0.3)
    second = line.train(hyperparameters=QUICK, start_from=first.name, replay={"rows": 3})
    _, inputs = line.resolved(start_from=second.name)
    digest = line.registry.dataset("rows").digest
    assert [(p.dataset_digest, p.holdout_fraction, p.seed, p.replay_digest, p.replay_rows) for p in inputs.past] == [
        (digest, 0.3, 5, "", None),
        (digest, 0.2, 0, digest, 3),
    ]
    assert inputs.datasets == inputs.learnt == {digest}


def test_the_versions_own_rows_are_learnt_again_while_they_are_there(line: Line, artifacts: ArtifactStore) -> None:
    version = line.train(hyperparameters=QUICK)
    spec, inputs = line.resolved(start_from=version.name, replay={})
    assert spec.replay
    assert spec.replay.dataset == "datasets/rows"
    assert inputs.replay_digest == line.registry.dataset("rows").digest
    line.registry.add_dataset(upload(artifacts, csv_of(labelled_rows(20, seed=4)), "new"))
    line.registry.delete_dataset("rows")
    assert refused(line, dataset="datasets/new", start_from=version.name, replay={}).field == (
        "training_job.spec.replay.dataset"
    )
    line.registry.add_dataset(upload(artifacts, csv_of(labelled_rows(20, seed=5))))
    error = refused(line, dataset="datasets/new", start_from=version.name, replay={})
    assert "is not what models/mood/versions/1 learnt from any more" in str(error)


@pytest.mark.parametrize("other", ["classification-pairs", "fields"])
def test_rows_of_another_kind_are_refused(line: Line, other: str) -> None:
    case = HEADS[other]
    line.registry.add_dataset(case.dataset(line.artifacts, "shaped"))
    version = line.train(rows="shaped", hyperparameters=QUICK, **case.head)
    assert refused(line, start_from=version.name).field == "training_job.spec.dataset"
    again = {"dataset": "datasets/shaped", "start_from": version.name}
    line.resolved(**again)
    assert refused(line, replay={"dataset": "datasets/rows"}, **again).field == "training_job.spec.replay.dataset"


def test_a_bundle_that_is_gone_cannot_be_trained_on(line: Line) -> None:
    version = line.train(hyperparameters=QUICK)
    line.artifacts.delete("bundles", version.bundle_digest)
    assert refused(line, start_from=version.name).field == "training_job.spec.start_from"
