"""Messages <-> values of the training service, as pure functions in pairs."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from symbiont.api.training.v1 import base_model_pb2, dataset_pb2, model_pb2, training_job_pb2, worker_pb2
from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import parse_name, parse_version_name
from symbiont.training import types
from symbiont.training.data.header import Header
from symbiont.training.spec import TrainingSpec, parse_spec

RELEASE_STATES = {
    types.ReleaseState.ACTIVE: model_pb2.RELEASE_STATE_ACTIVE,
    types.ReleaseState.PROMOTED: model_pb2.RELEASE_STATE_PROMOTED,
    types.ReleaseState.ENDED: model_pb2.RELEASE_STATE_ENDED,
    types.ReleaseState.ROLLED_BACK: model_pb2.RELEASE_STATE_ROLLED_BACK,
}
POOLINGS = {
    "": base_model_pb2.POOLING_UNSPECIFIED,
    "mean": base_model_pb2.POOLING_MEAN,
    "cls": base_model_pb2.POOLING_CLS,
}


def timestamp_to_proto(time: datetime | None) -> Timestamp | None:
    """None stays None: the field is not set."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def duration_to_proto(seconds: float) -> Duration:
    """Seconds to a Duration, to the nanosecond."""
    return Duration(seconds=int(seconds), nanos=int((seconds % 1) * 1e9))


def duration_from_proto(message: Duration) -> float:
    """A Duration in seconds."""
    return float(message.seconds + message.nanos / 1e9)


# Datasets.


def header_from_proto(message: dataset_pb2.CreateDatasetHeader) -> Header:
    """What an upload says about itself, unchecked."""
    dataset = message.dataset
    kind = dataset.label_kind or dataset_pb2.LABEL_KIND_CLASS
    return Header(
        id=message.dataset_id,
        format=_word(dataset_pb2.DatasetFormat, dataset.format, "DATASET_FORMAT_"),
        text_column=dataset.text_column,
        label_column=dataset.label_column,
        byte_count=message.byte_count,
        label_kind=_word(dataset_pb2.LabelKind, kind, "LABEL_KIND_"),
        pair_column=dataset.pair_column,
        fields=tuple((f.name, _word(dataset_pb2.FieldKind, f.kind, "FIELD_KIND_")) for f in dataset.fields),
        group_column=dataset.group_column,
        time_column=dataset.time_column,
        subject_column=dataset.subject_column,
    )


def _word(enum: Any, value: int, prefix: str) -> str:
    """Returns the name of a value without its prefix, and of one that this release does not know its number."""
    try:
        return str(enum.Name(value)).removeprefix(prefix)
    except ValueError:
        return str(value)


def dataset_to_proto(dataset: types.Dataset) -> dataset_pb2.Dataset:
    """A stored dataset as its resource."""
    return dataset_pb2.Dataset(
        name=f"datasets/{dataset.id}",
        format=dataset_pb2.DatasetFormat.Value(f"DATASET_FORMAT_{dataset.format}"),
        text_column=dataset.text_column,
        label_column=dataset.label_column,
        row_count=dataset.row_count,
        label_counts=[dataset_pb2.LabelCount(label=label, count=count) for label, count in dataset.label_counts],
        digest=dataset.digest,
        byte_count=dataset.byte_count,
        create_time=timestamp_to_proto(dataset.create_time),
        label_kind=dataset_pb2.LabelKind.Value(f"LABEL_KIND_{dataset.label_kind}"),
        pair_column=dataset.pair_column,
        fields=[
            dataset_pb2.FieldColumn(name=name, kind=dataset_pb2.FieldKind.Value(f"FIELD_KIND_{kind}"))
            for name, kind in dataset.fields
        ],
        group_column=dataset.group_column,
        time_column=dataset.time_column,
        subject_column=dataset.subject_column,
        min_label=dataset.label_range[0],
        max_label=dataset.label_range[1],
    )


# Jobs.


def spec_from_proto(message: training_job_pb2.TrainingSpec, field: str = "training_job.spec") -> TrainingSpec:
    """Checks a spec; InvalidArgument names what is wrong by its path under `field`."""
    values = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return parse_spec(values, field)


def spec_to_proto(spec: TrainingSpec) -> training_job_pb2.TrainingSpec:
    """The inverse of spec_from_proto."""
    values = spec.model_dump(mode="json", exclude_none=True)
    return json_format.ParseDict(values, training_job_pb2.TrainingSpec())


def terms_from_proto(message: training_job_pb2.TrainingJob) -> types.Terms:
    """On what terms a caller wants a job to run, unchecked."""
    given = message.budget
    budget = types.Budget(
        training_seconds=duration_from_proto(given.training_time) if given.HasField("training_time") else None,
        cost=given.cost if given.HasField("cost") else None,
        deadline_seconds=duration_from_proto(given.deadline) if given.HasField("deadline") else None,
    )
    return types.Terms(message.tenant or types.Terms.tenant, message.priority, budget)


def budget_to_proto(budget: types.Budget) -> training_job_pb2.Budget | None:
    """What a job may use; None where it has no limits."""
    if budget == types.Budget():
        return None
    return training_job_pb2.Budget(
        training_time=_optional_duration(budget.training_seconds),
        cost=budget.cost,
        deadline=_optional_duration(budget.deadline_seconds),
    )


def _optional_duration(seconds: float | None) -> Duration | None:
    return None if seconds is None else duration_to_proto(seconds)


def job_query_from_proto(request: training_job_pb2.ListTrainingJobsRequest) -> types.JobQuery:
    """Which jobs a request asks for.

    Raises:
        InvalidArgument: a state is none, or the model's name is malformed.
    """
    states = {state_to_proto(state): state for state in types.JobState}
    for index, value in enumerate(request.states):
        if value not in states:
            raise InvalidArgument(f"states[{index}]", f"{value} is no state of a job")
    model = parse_name("model", "models", request.model) if request.model else ""
    return types.JobQuery(tuple(states[value] for value in request.states), model, request.oldest_first)


def state_to_proto(state: types.JobState) -> training_job_pb2.JobState.ValueType:
    """A job state as its enum."""
    return training_job_pb2.JobState.Value(f"JOB_STATE_{state}")


def failure_to_proto(failure: types.Failure) -> training_job_pb2.JobFailure:
    """Why a job failed."""
    kind = training_job_pb2.FailureKind.Value(f"FAILURE_KIND_{failure.kind}")
    return training_job_pb2.JobFailure(kind=kind, message=failure.message)


def failure_from_proto(message: training_job_pb2.JobFailure) -> types.Failure:
    """The inverse of failure_to_proto; InvalidArgument where the kind is none."""
    try:
        name = training_job_pb2.FailureKind.Name(message.kind).removeprefix("FAILURE_KIND_")
        return types.Failure(types.FailureKind(name), message.message)
    except ValueError as exc:
        raise InvalidArgument("failure.kind", f"it must be one of {', '.join(types.FailureKind)}") from exc


def progress_to_proto(progress: types.Progress) -> training_job_pb2.Progress:
    """How far a training is."""
    return training_job_pb2.Progress(
        step=progress.step,
        total_steps=progress.total_steps,
        epoch=progress.epoch,
        loss=progress.loss,
        learning_rate=progress.learning_rate,
        gradient_norm=progress.gradient_norm,
        tokens_per_second=progress.tokens_per_second,
        eta=duration_to_proto(progress.eta_seconds),
    )


def progress_from_proto(message: training_job_pb2.Progress) -> types.Progress:
    """The inverse of progress_to_proto."""
    return types.Progress(
        message.step,
        message.total_steps,
        message.epoch,
        message.loss,
        message.learning_rate,
        message.gradient_norm,
        message.tokens_per_second,
        duration_from_proto(message.eta),
    )


def evaluation_to_proto(evaluation: types.Evaluation, *, whole: bool = True) -> training_job_pb2.Evaluation:
    """Quality on held-out rows; lists leave out what grows with the square of the labels."""
    return training_job_pb2.Evaluation(
        row_count=evaluation.row_count,
        accuracy=evaluation.accuracy,
        macro_f1=evaluation.macro_f1,
        loss=evaluation.loss,
        labels=evaluation.labels if whole else (),
        confusion_matrix=[count for row in evaluation.confusion_matrix for count in row] if whole else (),
        metrics=dict(evaluation.metrics),
        primary_metric=evaluation.primary_metric,
        class_changes=[training_job_pb2.ClassChange(**asdict(c)) for c in evaluation.class_changes] if whole else (),
    )


def evaluation_from_proto(message: training_job_pb2.Evaluation) -> types.Evaluation:
    """The inverse of evaluation_to_proto."""
    size, flat = len(message.labels), list(message.confusion_matrix)
    # Labels that each hold have none.
    matrix = tuple(tuple(flat[i * size : (i + 1) * size]) for i in range(size)) if flat else ()
    labels = tuple(message.labels)
    return types.Evaluation(
        message.row_count,
        message.accuracy,
        message.macro_f1,
        message.loss,
        labels,
        matrix,
        tuple(sorted(message.metrics.items())),
        message.primary_metric,
        tuple(
            types.ClassChange(c.label, c.row_count, c.metric, c.before, c.after, c.low, c.high)
            for c in message.class_changes
        ),
    )


def checkpoint_to_proto(checkpoint: types.Checkpoint) -> training_job_pb2.Checkpoint:
    """A checkpoint on record."""
    return training_job_pb2.Checkpoint(
        step=checkpoint.step,
        digest=checkpoint.digest,
        evaluation_loss=checkpoint.evaluation_loss,
        attempt=checkpoint.attempt,
        create_time=timestamp_to_proto(checkpoint.create_time),
        best=checkpoint.best,
    )


def _usage_to_proto(job: types.Job) -> training_job_pb2.Usage:
    seconds = job.training_seconds(types.now())
    return training_job_pb2.Usage(
        training_time=duration_to_proto(seconds), cost=seconds / 3600 * job.price * job.spec.ranks
    )


def job_to_proto(
    job: types.Job, checkpoints: Sequence[types.Checkpoint] = (), *, whole: bool = True
) -> training_job_pb2.TrainingJob:
    """A job as its resource; in lists not whole."""
    return training_job_pb2.TrainingJob(
        name=f"jobs/{job.id}" if job.id else "",
        spec=spec_to_proto(job.spec),
        state=state_to_proto(job.state),
        failure=failure_to_proto(job.failure) if job.failure else None,
        attempt=job.attempt,
        progress=progress_to_proto(job.progress) if job.progress else None,
        evaluation=evaluation_to_proto(job.evaluation, whole=whole) if job.evaluation else None,
        model_version=job.model_version,
        derived_base=job.derived_base,
        create_time=timestamp_to_proto(job.create_time),
        start_time=timestamp_to_proto(job.start_time),
        end_time=timestamp_to_proto(job.end_time),
        tenant=job.terms.tenant,
        priority=job.terms.priority,
        budget=budget_to_proto(job.terms.budget),
        usage=_usage_to_proto(job),
        checkpoints=[checkpoint_to_proto(checkpoint) for checkpoint in checkpoints],
        last_event_id=job.last_event,
        estimated_time=_optional_duration(job.estimated_seconds),
        micro_batches=job.micro_batches,
        reproduction=reproduction_to_proto(job) if job.reproduction else None,
        request_id=job.request_id,
    )


def reproduction_to_proto(job: types.Job) -> training_job_pb2.Reproduction:
    """What a job makes again, and what came of it."""
    asked = job.reproduction
    assert asked is not None  # noqa: S101 - of such a job
    return training_job_pb2.Reproduction(
        model_version=asked.model_version,
        job=f"jobs/{job.id}",
        bundle_digest=asked.bundle_digest,
        same_bundle=asked.same_bundle,
        same_weights=asked.same_weights,
    )


def metrics_to_proto(metrics: types.Metrics) -> training_job_pb2.Metrics:
    """Numbers measured after a step."""
    return training_job_pb2.Metrics(step=metrics.step, values=dict(metrics.values))


def checkpoint_saved_to_proto(saved: types.CheckpointSaved) -> training_job_pb2.CheckpointSaved:
    """A checkpoint that was stored."""
    return training_job_pb2.CheckpointSaved(step=saved.step, digest=saved.digest, evaluation_loss=saved.evaluation_loss)


def checkpoint_saved_from_proto(message: training_job_pb2.CheckpointSaved) -> types.CheckpointSaved:
    """The inverse of checkpoint_saved_to_proto."""
    loss = message.evaluation_loss if message.HasField("evaluation_loss") else None
    return types.CheckpointSaved(message.step, message.digest, loss)


def event_to_proto(event: types.Event) -> training_job_pb2.TrainingEvent:
    """An event, with its body in the field of its kind."""
    message = training_job_pb2.TrainingEvent(
        job=f"jobs/{event.job}", event_id=event.id, time=timestamp_to_proto(event.time), attempt=event.attempt
    )
    match event.body:
        case types.StateChange() as change:
            message.state_change.CopyFrom(
                training_job_pb2.StateChange(
                    old_state=state_to_proto(change.old_state),
                    new_state=state_to_proto(change.new_state),
                    reason=change.reason,
                    model_version=change.model_version,
                )
            )
        case types.Progress() as progress:
            message.progress.CopyFrom(progress_to_proto(progress))
        case types.Evaluation() as evaluation:
            message.evaluation.CopyFrom(evaluation_to_proto(evaluation))
        case types.CheckpointSaved() as saved:
            message.checkpoint_saved.CopyFrom(checkpoint_saved_to_proto(saved))
        case types.LogLine(text):
            message.log_line.CopyFrom(training_job_pb2.LogLine(text=text))
        case types.Metrics() as metrics:
            message.metrics.CopyFrom(metrics_to_proto(metrics))
        case types.Warning(code, text):
            message.warning.CopyFrom(training_job_pb2.Warning(code=code, text=text))
    return message


# Models.


def version_to_proto(version: types.ModelVersion, *, whole: bool = True) -> model_pb2.ModelVersion:
    """A model version as its resource; in lists and aliases not whole."""
    return model_pb2.ModelVersion(
        name=version.name,
        bundle_digest=version.bundle_digest,
        base_model=f"bases/{version.base_model}",
        base_digest=version.base_digest,
        tokenizer_digest=version.tokenizer_digest,
        training_job=f"jobs/{version.job}",
        evaluation=evaluation_to_proto(version.evaluation, whole=whole),
        create_time=timestamp_to_proto(version.create_time),
        evaluation_digest=version.evaluation_digest,
        trained_on_erased=version.trained_on_erased,
    )


def alias_to_proto(alias: types.Alias) -> model_pb2.ModelAlias:
    """An alias with the version that it points at, and the release that runs."""
    model = f"models/{alias.model}"
    return model_pb2.ModelAlias(
        name=f"{model}/aliases/{alias.alias}",
        model=model,
        alias=alias.alias,
        model_version=version_to_proto(alias.version, whole=False),
        update_time=timestamp_to_proto(alias.update_time),
        previous_version=f"{model}/versions/{alias.previous}" if alias.previous else "",
        release=release_to_proto(alias.release) if alias.release else None,
    )


def release_to_proto(release: types.Release) -> model_pb2.Release:
    """A release as its resource."""
    rules = release.rules
    return model_pb2.Release(
        name=release.name,
        candidate=release.candidate.name,
        candidate_version=version_to_proto(release.candidate, whole=False),
        baseline=f"models/{release.model}/versions/{release.baseline}",
        weight=release.weight,
        shadow=release.shadow,
        rules=model_pb2.ReleaseRules(
            max_error_rate_increase=rules.max_error_rate_increase,
            max_p99_latency_ratio=rules.max_p99_latency_ratio,
            max_label_shift=rules.max_label_shift,
            min_samples=rules.min_samples,
        ),
        state=RELEASE_STATES[release.state],
        end_reason=release.end_reason,
        create_time=timestamp_to_proto(release.create_time),
        update_time=timestamp_to_proto(release.update_time),
        end_time=timestamp_to_proto(release.end_time),
    )


def new_release_from_proto(message: model_pb2.Release) -> types.NewRelease:
    """What a caller asks to try; raises InvalidArgument when the candidate is no version's name."""
    given = message.rules
    rules = types.ReleaseRules(
        max_error_rate_increase=given.max_error_rate_increase if given.HasField("max_error_rate_increase") else None,
        max_p99_latency_ratio=given.max_p99_latency_ratio if given.HasField("max_p99_latency_ratio") else None,
        max_label_shift=given.max_label_shift if given.HasField("max_label_shift") else None,
        min_samples=given.min_samples or types.ReleaseRules.min_samples,
    )
    candidate = parse_version_name("release.candidate", message.candidate)
    return types.NewRelease(candidate, message.weight, message.shadow, rules)


def release_changes_from_proto(request: model_pb2.UpdateReleaseRequest) -> tuple[int | None, bool | None]:
    """The new weight and whether to shadow, each None where the mask leaves it out."""
    paths = set(request.update_mask.paths)
    if not paths or paths - {"weight", "shadow"}:
        raise InvalidArgument("update_mask", f"it names {sorted(paths)}, where weight and shadow can be changed")
    release = request.release
    return release.weight if "weight" in paths else None, release.shadow if "shadow" in paths else None


def model_to_proto(model: types.Model) -> model_pb2.Model:
    """A model as its resource."""
    return model_pb2.Model(
        name=f"models/{model.id}",
        latest_version=model.latest_version,
        aliases=[alias_to_proto(alias) for alias in model.aliases],
        create_time=timestamp_to_proto(model.create_time),
    )


# Workers.


def report_from_proto(message: worker_pb2.WorkerMessage) -> types.WorkerReport:
    """Raises InvalidArgument when the message is empty."""
    report: types.Report
    match message.WhichOneof("message"):
        case "hello":
            report = types.Hello(message.hello.pid, message.hello.instance)
        case "heartbeat":
            report = types.Heartbeat()
        case "progress":
            report = progress_from_proto(message.progress)
        case "checkpoint_saved":
            report = checkpoint_saved_from_proto(message.checkpoint_saved)
        case "evaluation_started":
            report = types.EvaluationStarted()
        case "evaluation":
            report = evaluation_from_proto(message.evaluation)
        case "log_line":
            report = types.LogLine(message.log_line.text)
        case "metrics":
            report = types.Metrics(message.metrics.step, tuple(sorted(message.metrics.values.items())))
        case "warning":
            report = types.Warning(message.warning.code, message.warning.text)
        case "failure":
            report = failure_from_proto(message.failure)
        case "stopped":
            report = types.Stopped()
        case "done":
            done = message.done
            report = types.Done(
                done.bundle_digest, done.base_digest, done.evaluation_digest, parameter_count=done.parameter_count
            )
        case _:
            raise InvalidArgument("message", "set one of its fields")
    return types.WorkerReport(message.job.removeprefix("jobs/"), message.attempt, message.seq, report)


def reports_from_records(records: Sequence[bytes]) -> list[types.WorkerReport]:
    """What a worker has left in its spool."""
    return [report_from_proto(worker_pb2.WorkerMessage.FromString(record)) for record in records]


def report_to_proto(report: types.WorkerReport) -> worker_pb2.WorkerMessage:
    """The inverse of report_from_proto; the time is now."""
    body: Any
    match report.report:
        case types.Hello(pid, instance):
            body = {"hello": worker_pb2.Hello(pid=pid, instance=instance)}
        case types.Heartbeat():
            body = {"heartbeat": worker_pb2.Heartbeat()}
        case types.Progress() as progress:
            body = {"progress": progress_to_proto(progress)}
        case types.CheckpointSaved() as saved:
            body = {"checkpoint_saved": checkpoint_saved_to_proto(saved)}
        case types.EvaluationStarted():
            body = {"evaluation_started": worker_pb2.EvaluationStarted()}
        case types.Evaluation() as evaluation:
            body = {"evaluation": evaluation_to_proto(evaluation)}
        case types.LogLine(text):
            body = {"log_line": training_job_pb2.LogLine(text=text)}
        case types.Metrics() as metrics:
            body = {"metrics": metrics_to_proto(metrics)}
        case types.Warning(code, text):
            body = {"warning": training_job_pb2.Warning(code=code, text=text)}
        case types.Failure() as failure:
            body = {"failure": failure_to_proto(failure)}
        case types.Stopped():
            body = {"stopped": worker_pb2.Stopped()}
        case types.Done() as done:
            body = {
                "done": worker_pb2.Done(
                    bundle_digest=done.bundle_digest,
                    base_digest=done.base_digest,
                    evaluation_digest=done.evaluation_digest,
                    parameter_count=done.parameter_count,
                )
            }
    time = timestamp_to_proto(types.now())
    return worker_pb2.WorkerMessage(job=f"jobs/{report.job}", attempt=report.attempt, seq=report.seq, time=time, **body)


def inputs_from_proto(spec: worker_pb2.WorkerSpec) -> types.Inputs:
    """What a worker works on."""
    return types.Inputs(
        spec.base_digest,
        spec.tokenizer_digest,
        spec.dataset_digest,
        spec.evaluation_dataset_digest,
        next(name for name, value in POOLINGS.items() if value == spec.pooling),
        spec.quantized_digest,
        spec.start_bundle_digest,
        spec.replay_dataset_digest,
        tuple(map(_past_from_proto, spec.past)),
        spec.base_tokenizer_digest,
        spec.by_text,
    )


def _past_to_proto(past: types.Past) -> worker_pb2.PastTraining:
    amount = {"fraction": past.replay_share} if past.replay_rows is None else {"rows": past.replay_rows}
    return worker_pb2.PastTraining(
        dataset_digest=past.dataset_digest,
        evaluation_dataset_digest=past.evaluation_dataset_digest,
        holdout_fraction=past.holdout_fraction,
        seed=past.seed,
        replay_dataset_digest=past.replay_digest,
        replay=training_job_pb2.Replay(**amount) if past.replay_digest else None,
        by_text=past.by_text,
    )


def _past_from_proto(message: worker_pb2.PastTraining) -> types.Past:
    return types.Past(
        message.dataset_digest,
        message.evaluation_dataset_digest,
        message.holdout_fraction,
        message.seed,
        message.replay_dataset_digest,
        message.replay.fraction,
        message.replay.rows if message.replay.WhichOneof("amount") == "rows" else None,
        message.by_text,
    )


def worker_spec_to_json(
    job: types.Job,
    artifact_root: str,
    controller_address: str,
    tokenization_address: str,
    tracing_endpoint: str = "",
    traceparent: str = "",
    worker_pass: str = "",
) -> str:
    """What the worker of a job's current attempt is told, as the JSON form of WorkerSpec."""
    trace = worker_pb2.WorkerTrace(endpoint=tracing_endpoint, traceparent=traceparent) if traceparent else None
    spec = worker_pb2.WorkerSpec(
        job=f"jobs/{job.id}",
        attempt=job.attempt,
        spec=spec_to_proto(job.spec),
        base_digest=job.inputs.base_digest,
        tokenizer_digest=job.inputs.tokenizer_digest,
        dataset_digest=job.inputs.dataset_digest,
        evaluation_dataset_digest=job.inputs.evaluation_dataset_digest,
        checkpoint_digest=job.checkpoint_digest,
        artifact_root=artifact_root,
        controller_address=controller_address,
        tokenization_address=tokenization_address,
        pooling=POOLINGS[job.inputs.pooling],
        quantized_digest=job.inputs.quantized_digest,
        base_tokenizer_digest=job.inputs.base_tokenizer_digest,
        micro_batches=job.micro_batches,
        finish=bool(job.finishing),
        best_checkpoint_digest=job.best_digest,
        best_evaluation_loss=job.best_loss,
        reproduced_job=f"jobs/{job.reproduced_job}" if job.reproduced_job else "",
        start_bundle_digest=job.inputs.start_digest,
        replay_dataset_digest=job.inputs.replay_digest,
        past=map(_past_to_proto, job.inputs.past),
        by_text=job.inputs.by_text,
        trace=trace,
        worker_pass=worker_pass,
    )
    return json_format.MessageToJson(spec, preserving_proto_field_name=True)
