"""The gate's messages <-> values. Settings have the proto's own field names, so they travel as JSON."""

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.common.errors import InvalidArgument
from symbiont.training.convert import dataset_to_proto
from symbiont.training.gate.annotations import AnnotationFormat
from symbiont.training.gate.findings import Finding
from symbiont.training.gate.lineage import Lineage, Recorded
from symbiont.training.gate.results import Report, Suggestion, Suspect
from symbiont.training.gate.settings import Prepare, Split, Strategy, Suggest, Validate, parse
from symbiont.training.gate.work import Progress
from symbiont.training.types import Dataset

# Of the suspects of a report; a caller who wants more of them asks for suggestions.
MOST_SUSPECTS = 1000


def prepare_from_proto(request: pb.PrepareDatasetRequest) -> Prepare:
    """What to do; InvalidArgument names what is wrong by its path."""
    return parse(Prepare, {"transforms": [values_of(transform) for transform in request.transforms]})


def split_from_proto(request: pb.SplitDatasetRequest) -> Split:
    """How to cut."""
    return parse(Split, values_of(request.split), "split")


def validate_from_proto(request: pb.ValidateDatasetRequest) -> Validate:
    """What to look at."""
    return parse(Validate, values_of(request.validation), "validation")


def suggest_from_proto(request: pb.SuggestRowsRequest) -> Suggest:
    """Which rows to suggest."""
    return parse(Suggest, values_of(request.suggestion), "suggestion")


def format_from_proto(value: pb.AnnotationFormat.ValueType, field: str) -> AnnotationFormat:
    """Raises InvalidArgument when it is not set, or is none."""
    try:
        return AnnotationFormat(pb.AnnotationFormat.Name(value).removeprefix("ANNOTATION_FORMAT_"))
    except ValueError as exc:
        raise InvalidArgument(field, f"it must be one of {', '.join(AnnotationFormat)}") from exc


def suggestions_from_proto(messages: Sequence[pb.RowSuggestion]) -> list[Suggestion]:
    """Rows for a file, with what was suggested for them; InvalidArgument where a reason is none."""
    return [
        Suggestion(
            message.row,
            _strategy(message.reason, f"suggestions.suggestions[{index}].reason"),
            message.label,
            message.probability,
        )
        for index, message in enumerate(messages)
    ]


def _strategy(value: pb.SuggestionStrategy.ValueType, field: str) -> Strategy:
    try:
        return (
            Strategy(pb.SuggestionStrategy.Name(value).removeprefix("SUGGESTION_STRATEGY_"))
            if value
            else Strategy.MIXED
        )
    except ValueError as exc:
        raise InvalidArgument(field, f"it must be one of {', '.join(Strategy)}") from exc


def suggestions_to_proto(suggestions: Sequence[Suggestion]) -> pb.RowSuggestions:
    """The inverse of suggestions_from_proto."""
    made = (
        pb.RowSuggestion(
            row=item.row,
            reason=pb.SuggestionStrategy.Value(f"SUGGESTION_STRATEGY_{item.reason}"),
            label=item.label,
            probability=item.probability,
        )
        for item in suggestions
    )
    return pb.RowSuggestions(suggestions=made)


def progress_to_proto(progress: Progress) -> pb.DatasetWorkProgress:
    """How far a work is."""
    return pb.DatasetWorkProgress(
        stage=pb.DatasetWorkStage.Value(f"DATASET_WORK_STAGE_{progress.stage}"),
        part=progress.part,
        transform=progress.transform,
        rows_done=progress.rows_done,
        rows_total=progress.rows_total,
    )


def dataset_with_lineage(dataset: Dataset, lineage: Lineage) -> pb.Dataset:
    """A dataset as its resource, with where it comes from."""
    message = dataset_to_proto(dataset)
    for parent in lineage.parents:
        message.parents.add(digest=parent.digest, role=pb.ParentRole.Value(f"PARENT_ROLE_{parent.role}"))
    message.transforms.extend(step_to_proto(step) for step in lineage.steps)
    message.transform_version = lineage.version
    return message


def step_to_proto(step: Recorded) -> pb.TransformStep:
    """A step that was done."""
    message = pb.TransformStep(
        rows_before=step.rows_before,
        rows_after=step.rows_after,
        changed_count=step.changed,
        findings=[finding_to_proto(finding) for finding in step.findings],
        key_id=step.key_id,
    )
    fill(getattr(message, step.kind), step.settings)
    getattr(message, step.kind).SetInParent()
    return message


def finding_to_proto(finding: Finding) -> pb.Finding:
    """Something that was found."""
    return pb.Finding(code=finding.code, count=finding.count, rows=finding.rows, text=finding.text)


def report_to_proto(report: Report) -> pb.ValidationReport:
    """A report."""
    return pb.ValidationReport(
        row_count=report.row_count,
        findings=[finding_to_proto(finding) for finding in report.findings],
        languages=[pb.LanguageCount(language=code, count=count) for code, count in report.languages],
        labels=[pb.LabelCount(label=name, count=count) for name, count in report.labels],
        imbalance=report.imbalance,
        leaks=[
            pb.LabelLeak(
                kind=pb.LeakKind.Value(f"LEAK_KIND_{leak.kind}"),
                name=leak.name,
                accuracy=leak.accuracy,
                majority=leak.majority,
            )
            for leak in report.leaks
        ],
        suspects=[suspect_to_proto(suspect) for suspect in report.suspects[:MOST_SUSPECTS]],
        suspect_count=len(report.suspects),
        shifts=[pb.LabelShift(label=s.label, means=s.means, share=s.share) for s in report.shifts],
    )


def suspect_to_proto(suspect: Suspect) -> pb.LabelSuspect:
    """A row whose label may be wrong."""
    return pb.LabelSuspect(
        row=suspect.row,
        given=suspect.given,
        suggested=suspect.suggested,
        given_probability=suspect.given_probability,
        suggested_probability=suspect.suggested_probability,
        confident=suspect.confident,
        near_row=suspect.near if suspect.near >= 0 else None,
    )


def values_of(message: Message) -> dict[str, Any]:
    """Returns the JSON form of a message, enums without the prefix of their names; what is not set is left out."""
    values = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return _renamed(message.DESCRIPTOR, values, lambda name, enum: name.removeprefix(_prefix(enum)))


def fill(message: Message, values: dict[str, Any]) -> None:
    """The inverse of values_of."""
    renamed = _renamed(message.DESCRIPTOR, values, lambda name, enum: f"{_prefix(enum)}{name}")
    json_format.ParseDict(renamed, message)


def _renamed(descriptor: Any, values: dict[str, Any], rename: Any) -> dict[str, Any]:
    def one(field: FieldDescriptor, value: Any) -> Any:
        if isinstance(value, list):
            return [one(field, item) for item in value]
        # A number is one that the enum does not have: it is refused where it is checked.
        if field.enum_type is not None:
            return rename(value, field.enum_type) if isinstance(value, str) else str(value)
        return _renamed(field.message_type, value, rename) if field.message_type is not None else value

    return {name: one(descriptor.fields_by_name[name], value) for name, value in values.items()}


def _prefix(enum: EnumDescriptor) -> str:
    """`UNICODE_FORM_` of UnicodeForm, from its first value, UNICODE_FORM_UNSPECIFIED."""
    return str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")
