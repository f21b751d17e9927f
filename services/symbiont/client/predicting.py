"""Builds the requests of predictions and explanations."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.client.inputs import (
    Batch,
    FieldValue,
    Granularity,
    Input,
    OffsetUnit,
    Pair,
    Priority,
    Query,
    QuestionContext,
    Text,
)
from symbiont.client.names import full_name

T = TypeVar("T")
_UNITS: Mapping[str, pb.OffsetUnit.ValueType] = {
    "code_point": pb.OFFSET_UNIT_CODE_POINT,
    "utf8_byte": pb.OFFSET_UNIT_UTF8_BYTE,
    "utf16_unit": pb.OFFSET_UNIT_UTF16_UNIT,
}
_GRANULARITIES: Mapping[str, pb.Granularity.ValueType] = {
    "word": pb.GRANULARITY_WORD,
    "sentence": pb.GRANULARITY_SENTENCE,
}
_PRIORITIES: Mapping[str, pb.Priority.ValueType] = {
    "interactive": pb.PRIORITY_INTERACTIVE,
    "batch": pb.PRIORITY_BATCH,
}


def predict(
    model: str,
    inputs: Sequence[Input],
    top_k: int,
    threshold: float | None,
    routing_key: str,
    priority: Priority,
    offset_unit: OffsetUnit,
) -> pb.PredictRequest:
    """Builds a prediction."""
    return pb.PredictRequest(
        model=model_reference(model),
        instances=_instances(inputs),
        top_k=top_k,
        threshold=threshold,
        routing_key=routing_key,
        priority=_known("priority", priority, _PRIORITIES),
        offset_unit=_known("offset_unit", offset_unit, _UNITS),
    )


def stream_request(template: pb.PredictRequest, batch: Batch) -> pb.PredictStreamRequest:
    """Builds one request of a stream, with the model and the options of a template."""
    identifier, inputs = batch
    request = pb.PredictStreamRequest(id=identifier, request=template)
    request.request.instances.extend(_instances(inputs))
    return request


def explain(
    model: str, inputs: Sequence[Input], label: str, granularity: Granularity, offset_unit: OffsetUnit
) -> pb.ExplainRequest:
    """Builds an explanation."""
    return pb.ExplainRequest(
        model=model_reference(model),
        instances=_instances(inputs),
        label=label,
        granularity=_known("granularity", granularity, _GRANULARITIES),
        offset_unit=_known("offset_unit", offset_unit, _UNITS),
    )


def model_reference(model: str) -> str:
    """Returns the full name of a model; `bundles/{digest}` is one already."""
    return model if model.startswith("bundles/") else full_name("models", model)


def _instances(inputs: Sequence[Input]) -> list[pb.Instance]:
    if isinstance(inputs, str):
        raise TypeError("inputs is one string; give a list of them")
    return [_instance(each) for each in inputs]


def _instance(given: Input) -> pb.Instance:
    match given:
        case str():
            return pb.Instance(text=given)
        case Text(text, fields):
            return pb.Instance(text=text, fields=_fields(fields))
        case (first, second):
            return pb.Instance(pair=pb.Pair(first=first, second=second))
        case Pair(first, second, fields):
            return pb.Instance(pair=pb.Pair(first=first, second=second), fields=_fields(fields))
        case QuestionContext(question, context):
            return pb.Instance(question_context=pb.QuestionContext(question=question, context=context))
        case Query(text, _, catalogue) if catalogue:
            return pb.Instance(query=pb.Query(text=text, catalogue=full_name("catalogues", catalogue)))
        case Query(text, candidates):
            return pb.Instance(query=pb.Query(text=text, texts=pb.Candidates(texts=candidates)))
        case _:
            raise TypeError(f"{type(given).__name__} is nothing to predict on")


def _fields(fields: Mapping[str, FieldValue]) -> list[pb.BusinessField]:
    return [_field(name, value) for name, value in fields.items()]


def _field(name: str, value: FieldValue) -> pb.BusinessField:
    # Before numbers: a bool is one of them.
    if isinstance(value, bool):
        return pb.BusinessField(name=name, flag=value)
    if isinstance(value, str):
        return pb.BusinessField(name=name, category=value)
    return pb.BusinessField(name=name, number=value)


def _known(name: str, value: str, known: Mapping[str, T]) -> T:
    if value not in known:
        raise ValueError(f"{name}: {value!r} is none of {', '.join(known)}")
    return known[value]
