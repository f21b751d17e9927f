"""Every pair of conversions is a round trip."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format

from support.registry import tiny_spec
from symbiont.api.training.v1 import base_model_pb2, training_job_pb2, worker_pb2
from symbiont.common.errors import InvalidArgument
from symbiont.training import convert, convert_bases, types
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import JobState, WorkerReport
from symbiont.training.worker.__main__ import attempt_from_proto

EVALUATION = types.Evaluation(3, 0.5, 0.25, 0.75, ("a", "b"), ((1, 0), (2, 0)))
PROGRESS = types.Progress(3, 10, 0.25, 0.5, 1e-3, 1.5, 2000.0, 4.5)
INPUTS = types.Inputs("1" * 64, "2" * 64, "3" * 64, "", "mean")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head_only": {}, "evaluation_dataset": "datasets/other"},
        {"lora": {"rank": 4, "target_modules": ["query"], "dropout": 0.0}, "classification": {"labels": ["a", "b"]}},
        {"hyperparameters": {"epochs": 1, "seed": 0, "max_tokens": 16, "learning_rate": 1e-5}},
        {
            "start_from": "models/mood/versions/3",
            "replay": {"dataset": "datasets/old", "rows": 10},
            "allow_new_labels": True,
            "accept_changed_labels": True,
        },
        {"model": None, "derived_base": "bases/own"},
        {
            "model": None,
            "derived_base": "bases/own",
            "lora": {},
            "masked_tokens": {"mask_fraction": 0.3, "whole_words": True, "tokenizer": "tokenizers/law"},
            "hyperparameters": {"epochs": 0},
        },
    ],
)
def test_specs(changes: dict[str, object]) -> None:
    spec = tiny_spec(**changes)
    assert convert.spec_from_proto(convert.spec_to_proto(spec)) == spec


def test_a_spec_keeps_an_explicit_zero() -> None:
    message = convert.spec_to_proto(tiny_spec())
    message.hyperparameters.epochs = 0
    with pytest.raises(InvalidArgument) as caught:
        convert.spec_from_proto(message)
    assert caught.value.field == "training_job.spec.hyperparameters.epochs"


@pytest.mark.parametrize(
    "source",
    [
        types.Source("folder", "/models/x"),
        types.Source("package", "p", "sub"),
        types.Source("hugging_face", "a/b", "v1"),
    ],
)
def test_sources(source: types.Source) -> None:
    assert convert_bases.source_from_proto(convert_bases.source_to_proto(source)) == source


def test_a_base_that_was_made_says_of_what() -> None:
    source = types.Source("training_job", "jobs/job-1")
    base = types.BaseModel("b", source, "", "", "1" * 64, "2" * 64, "X", 8, 9, 64, "mean", ("query",))
    message = convert_bases.base_to_proto(replace(base, parent="tiny", parent_digest="3" * 64))
    assert (message.parent, message.parent_digest) == ("bases/tiny", "3" * 64)
    assert message.source.training_job == "jobs/job-1"
    assert base_model_pb2.TASK_HEAD_MASKED_TOKENS in message.task_heads
    assert convert_bases.base_to_proto(base).parent == ""
    # Only jobs make such a base.
    with pytest.raises(InvalidArgument, match=r"^base_model\.source: "):
        convert_bases.source_from_proto(message.source)


def test_a_job_says_which_base_it_made(resolved: tuple[TrainingSpec, types.Inputs]) -> None:
    job = types.Job("job-x", *resolved, JobState.SUCCEEDED, derived_base="bases/own")
    message = convert.job_to_proto(job)
    assert (message.derived_base, message.model_version) == ("bases/own", "")


def test_no_source_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match=r"base_model\.source"):
        convert_bases.source_from_proto(base_model_pb2.BaseModelSource())


@pytest.mark.parametrize(
    "report",
    [
        types.Hello(7),
        types.Heartbeat(),
        PROGRESS,
        types.CheckpointSaved(5, "c" * 64),
        types.EvaluationStarted(),
        EVALUATION,
        types.LogLine("text"),
        types.Failure(types.FailureKind.OOM, "out of memory"),
        types.Stopped(),
        types.Done("d" * 64),
    ],
)
def test_reports(report: types.Report) -> None:
    message = WorkerReport("job-x", 2, 9, report)
    assert convert.report_from_proto(convert.report_to_proto(message)) == message


def test_an_empty_report_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="message"):
        convert.report_from_proto(worker_pb2.WorkerMessage())


@pytest.mark.parametrize(
    "body",
    [
        types.StateChange(JobState.RUNNING, JobState.RECOVERING, "lost"),
        PROGRESS,
        EVALUATION,
        types.CheckpointSaved(5, "c" * 64),
        types.LogLine("text"),
    ],
)
def test_events_stand_in_the_field_of_their_kind(body: types.EventBody) -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    message = convert.event_to_proto(types.Event("job-x", 4, time, 1, body))
    assert (message.job, message.event_id, message.attempt) == ("jobs/job-x", 4, 1)
    assert message.time.ToDatetime(UTC) == time
    kind = {"StateChange": "state_change", "CheckpointSaved": "checkpoint_saved", "LogLine": "log_line"}
    assert message.WhichOneof("event") == kind.get(type(body).__name__, type(body).__name__.lower())


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_its_enum(state: JobState) -> None:
    assert training_job_pb2.JobState.Name(convert.state_to_proto(state)) == f"JOB_STATE_{state.value}"
    assert len(training_job_pb2.JobState.values()) == len(JobState) + 1


@pytest.mark.parametrize("kind", types.FailureKind)
def test_every_kind_of_failure_has_its_enum(kind: types.FailureKind) -> None:
    failure = types.Failure(kind, "text")
    assert convert.failure_from_proto(convert.failure_to_proto(failure)) == failure


def test_a_worker_is_told_everything(resolved: tuple[TrainingSpec, types.Inputs]) -> None:
    spec, inputs = resolved
    job = types.Job("job-x", spec, inputs, JobState.STARTING, attempt=2, checkpoint_digest="c" * 64)
    text = convert.worker_spec_to_json(job, "/artifacts", "h:1", "h:2")
    message = json_format.Parse(text, worker_pb2.WorkerSpec())
    assert convert.spec_from_proto(message.spec) == spec
    assert (message.job, message.attempt, message.checkpoint_digest) == ("jobs/job-x", 2, "c" * 64)
    assert (message.base_digest, message.artifact_root) == (inputs.base_digest, "/artifacts")
    assert attempt_from_proto(message).inputs == inputs
    other = replace(job, inputs=replace(inputs, base_tokenizer_digest="9" * 64))
    told = json_format.Parse(convert.worker_spec_to_json(other, "/artifacts", "h:1", "h:2"), worker_pb2.WorkerSpec())
    assert attempt_from_proto(told).inputs == other.inputs


def test_a_worker_is_told_what_is_behind_its_start(resolved: tuple[TrainingSpec, types.Inputs]) -> None:
    past = (
        types.Past("6" * 64, "", 0.25, 7),
        types.Past("7" * 64, "8" * 64, 0.0, 0, "6" * 64, 0.5),
        types.Past("9" * 64, "", 0.25, 1, "6" * 64, 0.0, 40, by_text=True),
    )
    assert resolved[1].by_text
    inputs = replace(resolved[1], start_digest="4" * 64, replay_digest="5" * 64, past=past)
    job = types.Job("job-x", resolved[0], inputs, JobState.STARTING, attempt=1)
    message = json_format.Parse(convert.worker_spec_to_json(job, "/a", "h:1", "h:2"), worker_pb2.WorkerSpec())
    assert convert.inputs_from_proto(message) == inputs


def test_how_classes_changed_travels_with_an_evaluation() -> None:
    changes = (types.ClassChange("a", 3, "recall", 0.5, 0.25, -0.5, -0.125),)
    found = replace(EVALUATION, class_changes=changes)
    assert convert.evaluation_from_proto(convert.evaluation_to_proto(found)) == found
    assert not convert.evaluation_to_proto(found, whole=False).class_changes
    assert changes[0].worse


@pytest.mark.parametrize(
    ("kind", "pooling", "named", "trainable"),
    [
        ("encoder", "cls", base_model_pb2.BASE_MODEL_KIND_ENCODER, True),
        ("causal", "", base_model_pb2.BASE_MODEL_KIND_CAUSAL, False),
        ("seq2seq", "", base_model_pb2.BASE_MODEL_KIND_SEQ2SEQ, False),
    ],
)
def test_kinds_of_bases(kind: str, pooling: str, named: int, trainable: bool) -> None:
    source = types.Source("folder", "/x")
    base = types.BaseModel("b", source, "", "", "1" * 64, "2" * 64, "X", 8, 9, 64, pooling, ("query",), kind)
    message = convert_bases.base_to_proto(base)
    assert (message.kind, bool(message.tuning_methods), bool(message.task_heads)) == (named, trainable, trainable)
    assert bool(message.pooling) == trainable


@pytest.mark.parametrize("matrix", [((3, 1), (0, 4)), ()], ids=["classes", "labels that each hold"])
def test_an_evaluation_comes_back(matrix: tuple[tuple[int, ...], ...]) -> None:
    metrics = (("loss", 0.5), ("micro_f1", 0.75))
    evaluation = types.Evaluation(8, 0.875, 0.8, 0.5, ("a", "b"), matrix, metrics, "micro_f1")
    assert convert.evaluation_from_proto(convert.evaluation_to_proto(evaluation)) == evaluation
