"""Rows <-> values: how the resources of `types` stand in the tables."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from symbiont.common.licenses import LicenseTerms
from symbiont.training import types
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import EventBody, plain

Row = Mapping[str, Any]
T = TypeVar("T")

_EVENTS: dict[str, type[EventBody]] = {
    "state_change": types.StateChange,
    "progress": types.Progress,
    "evaluation": types.Evaluation,
    "checkpoint_saved": types.CheckpointSaved,
    "log_line": types.LogLine,
    "metrics": types.Metrics,
    "warning": types.Warning,
}
_KINDS = {cls: kind for kind, cls in _EVENTS.items()}


def body(value: Any) -> dict[str, Any]:
    """Returns a value as a JSON object; its time stands in a column of its own."""
    return {key: plain(item) for key, item in asdict(value).items() if key != "create_time"}


def _build(cls: type[T], values: Mapping[str, Any], **more: Any) -> T:
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    frozen = {key: _freeze(item) for key, item in {**values, **more}.items() if key in names}
    return cls(**frozen)


def _freeze(value: Any) -> Any:
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


def base_of(row: Row) -> types.BaseModel:
    """Builds a base model from its row."""
    source = _build(types.Source, row["body"]["source"])
    terms = _license_terms_of(row["body"].get("terms") or {})
    columns = {"create_time": row["create_time"], "quantized_digest": row.get("quantized_digest") or ""}
    return _build(types.BaseModel, {**row["body"], "source": source, "terms": terms}, **columns)


def _license_terms_of(values: Mapping[str, Any]) -> LicenseTerms:
    ends = values.get("expire_time")
    return _build(LicenseTerms, values, expire_time=datetime.fromisoformat(ends) if ends else None)


def dataset_of(row: Row) -> types.Dataset:
    """Builds a dataset from its row."""
    return _build(types.Dataset, row["body"], create_time=row["create_time"])


def _evaluation_of(values: Mapping[str, Any]) -> types.Evaluation:
    changes = tuple(types.ClassChange(**change) for change in values.get("class_changes", ()))
    return _build(types.Evaluation, values, class_changes=changes)


def inputs_of(values: Mapping[str, Any]) -> types.Inputs:
    """Builds what a job works on from its JSON object."""
    return _build(types.Inputs, values, past=tuple(types.Past(**past) for past in values.get("past", ())))


def event_body_of(kind: str, values: Mapping[str, Any]) -> EventBody:
    """Builds an event's body from its JSON object."""
    if kind == "evaluation":
        return _evaluation_of(values)
    if kind == "state_change":
        states = {key: types.JobState(values[key]) for key in ("old_state", "new_state")}
        return _build(types.StateChange, {**values, **states})
    return _build(_EVENTS[kind], values)


def event_kind(event: EventBody) -> str:
    """Returns the name of an event's kind: that of its field in the proto."""
    return _KINDS[type(event)]


def event_of(row: Row) -> types.Event:
    """Builds an event from its row."""
    return types.Event(row["job"], row["id"], row["time"], row["attempt"], event_body_of(row["kind"], row["body"]))


def terms_columns(terms: types.Terms, ranks: int, price: float) -> dict[str, Any]:
    """Returns the columns of the terms that a job which is created now runs on; `price` is that of a rank and hour."""
    budget = terms.budget
    limits = [budget.training_seconds] if budget.training_seconds is not None else []
    if budget.cost is not None and price > 0:
        limits.append(3600 * budget.cost / (price * ranks))
    deadline = types.now() + timedelta(seconds=budget.deadline_seconds) if budget.deadline_seconds else None
    return {
        "tenant": terms.tenant,
        "priority": terms.priority,
        "budget": body(budget),
        "max_seconds": min(limits, default=None),
        "deadline": deadline,
    }


def _terms_of(row: Row) -> types.Terms:
    budget = _build(types.Budget, row["budget"] or {})
    return types.Terms(row["tenant"], row["priority"], budget)


def job_of(row: Row) -> types.Job:
    """Builds a job from its row."""
    failure = row["failure"] and types.Failure(types.FailureKind(row["failure"]["kind"]), row["failure"]["message"])
    return _build(
        types.Job,
        row,
        state=types.JobState(row["state"]),
        spec=TrainingSpec.model_validate(row["spec"]),
        inputs=inputs_of(row["inputs"]),
        failure=failure or None,
        progress=_build(types.Progress, row["progress"]) if row["progress"] else None,
        evaluation=_evaluation_of(row["evaluation"]) if row["evaluation"] else None,
        terms=_terms_of(row),
        reproduction=_build(types.Reproduction, row["reproduction"]) if row.get("reproduction") else None,
        reproduced_job=(row.get("reproduction") or {}).get("job", ""),
        request_id=row["request_id"] or "",
    )


def checkpoint_of(row: Row, best_digest: str) -> types.Checkpoint:
    """Builds a checkpoint from its row."""
    return _build(types.Checkpoint, row, best=row["digest"] == best_digest)


def version_of(row: Row) -> types.ModelVersion:
    """Builds a model version from its row."""
    return _build(types.ModelVersion, row, evaluation=_evaluation_of(row["evaluation"]))


def release_of(row: Row, candidate: types.ModelVersion) -> types.Release:
    """Builds a release from its row and its candidate."""
    rules, state = _build(types.ReleaseRules, row["rules"]), types.ReleaseState(row["state"])
    reason = (row["ended"] or {}).get("reason") or row["end_reason"]
    return _build(types.Release, row, candidate=candidate, rules=rules, state=state, end_reason=reason)
