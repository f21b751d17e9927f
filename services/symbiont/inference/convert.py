"""Between the messages of Symbiont's services and the inference domain."""

from collections.abc import Sequence
from datetime import UTC
from itertools import accumulate, pairwise

import numpy as np
from google.protobuf.duration_pb2 import Duration

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2
from symbiont.api.training.v1 import base_model_pb2, model_pb2
from symbiont.common.errors import InvalidArgument, SymbiontError
from symbiont.common.licenses import LicenseTerms
from symbiont.common.offsets import OffsetUnit
from symbiont.common.resources import parse_name, parse_version_name
from symbiont.inference.explain import ExplainCall, ExplainResult, Explanation, Granularity
from symbiont.inference.instances import FieldValue, Input, Instance, Pair, Query, QuestionContext, Text
from symbiont.inference.results import (
    AnswerSpans,
    Classification,
    Embedding,
    Entities,
    MultiLabel,
    Ranking,
    Score,
    Similarity,
)
from symbiont.inference.tokens import Places, TokenQuery, Tokens
from symbiont.inference.types import (
    Alias,
    AliasUpdate,
    LicensedBase,
    ModelVersion,
    PredictCall,
    Prediction,
    PredictResult,
    Priority,
    Release,
    ReleaseRules,
)

_UNITS = {
    pb.OFFSET_UNIT_UNSPECIFIED: OffsetUnit.CODE_POINT,
    pb.OFFSET_UNIT_CODE_POINT: OffsetUnit.CODE_POINT,
    pb.OFFSET_UNIT_UTF8_BYTE: OffsetUnit.UTF8_BYTE,
    pb.OFFSET_UNIT_UTF16_UNIT: OffsetUnit.UTF16_UNIT,
}
_GRANULARITIES = {
    pb.GRANULARITY_UNSPECIFIED: Granularity.WORD,
    pb.GRANULARITY_WORD: Granularity.WORD,
    pb.GRANULARITY_SENTENCE: Granularity.SENTENCE,
}
_PRIORITIES: dict[int, Priority] = {
    pb.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BATCH: Priority.BATCH,
}
_PLACES = (
    tokenization_pb2.OUTPUT_SEQUENCE_IDS,
    tokenization_pb2.OUTPUT_WORD_IDS,
    tokenization_pb2.OUTPUT_OFFSETS,
)


def predict_call_from_proto(request: pb.PredictRequest) -> PredictCall:
    """Reads a PredictRequest; an instance without input reads as an empty text, which is refused by its name."""
    if request.offset_unit not in _UNITS:
        raise InvalidArgument("offset_unit", f"{request.offset_unit} is no unit")
    return PredictCall(
        request.model,
        [instance_from_proto(instance) for instance in request.instances],
        request.top_k,
        request.threshold if request.HasField("threshold") else None,
        _UNITS[request.offset_unit],
        request.routing_key,
        priority_from_proto(request.priority),
    )


def priority_from_proto(priority: int) -> Priority:
    """Reads a Priority."""
    if priority not in _PRIORITIES:
        raise InvalidArgument("priority", f"{priority} is no priority")
    return _PRIORITIES[priority]


def explain_call_from_proto(request: pb.ExplainRequest) -> ExplainCall:
    """Reads an ExplainRequest."""
    if request.offset_unit not in _UNITS:
        raise InvalidArgument("offset_unit", f"{request.offset_unit} is no unit")
    if request.granularity not in _GRANULARITIES:
        raise InvalidArgument("granularity", f"{request.granularity} is none")
    instances = [instance_from_proto(instance) for instance in request.instances]
    by = _GRANULARITIES[request.granularity]
    return ExplainCall(request.model, instances, request.label, _UNITS[request.offset_unit], by)


def explain_result_to_proto(result: ExplainResult) -> pb.ExplainResponse:
    """Makes an ExplainResponse."""
    return pb.ExplainResponse(
        explanations=[_explanation_to_proto(explanation) for explanation in result.explanations],
        served_model=served_model_to_proto(result.version),
        stage_times=stage_times_to_proto(result.seconds),
    )


def _explanation_to_proto(explanation: Explanation) -> pb.Explanation:
    words = [
        pb.WordAttribution(
            text=word.text, start=word.start, end=word.end, attribution=word.attribution, sequence=word.sequence
        )
        for word in explanation.words
    ]
    fields = [pb.FieldAttribution(name=one.name, attribution=one.attribution) for one in explanation.fields]
    return pb.Explanation(
        label=explanation.label,
        value=explanation.value,
        words=words,
        truncated=explanation.truncated,
        fields=fields,
    )


def error_to_proto(error: SymbiontError, code: int) -> pb.Error:
    """Makes an Error of a stream; `code` is the number of its status code."""
    return pb.Error(code=code, reason=error.reason, message=str(error), field=error.field or "")


def instance_from_proto(message: pb.Instance) -> Instance:
    """Reads an Instance."""
    if not message.fields:
        return Instance(_input_from_proto(message))
    return Instance(_input_from_proto(message), [(field.name, _value_from_proto(field)) for field in message.fields])


def _input_from_proto(message: pb.Instance) -> Input:
    match message.WhichOneof("input"):
        case "pair":
            return Pair(message.pair.first, message.pair.second)
        case "question_context":
            return QuestionContext(message.question_context.question, message.question_context.context)
        case "query":
            query = message.query
            return Query(query.text, query.texts.texts, query.catalogue)
        case _:
            return Text(message.text)


def _value_from_proto(message: pb.BusinessField) -> FieldValue:
    kind = message.WhichOneof("value")
    value: FieldValue = getattr(message, kind) if kind else None
    return value


def predict_result_to_proto(result: PredictResult) -> pb.PredictResponse:
    """Makes a PredictResponse."""
    return pb.PredictResponse(
        predictions=[prediction_to_proto(prediction) for prediction in result.predictions],
        served_model=served_model_to_proto(result.version),
        stage_times=stage_times_to_proto(result.seconds),
    )


def stage_times_to_proto(seconds: dict[str, float]) -> pb.StageTimes:
    """Makes StageTimes."""
    return pb.StageTimes(**{stage: _duration(spent) for stage, spent in seconds.items()})


def served_model_to_proto(version: ModelVersion) -> pb.ServedModel:
    """Makes a ServedModel."""
    return pb.ServedModel(
        model_version=version.name if version.number else "",
        base_digest=version.base_digest,
        tokenizer_digest=version.tokenizer_digest,
        bundle_digest=version.bundle_digest,
    )


def version_from_proto(message: model_pb2.ModelVersion) -> ModelVersion:
    """Reads a ModelVersion of the registry."""
    model, number = parse_version_name("name", message.name)
    return ModelVersion(model, number, message.bundle_digest, message.base_digest, message.tokenizer_digest)


def aliases_from_proto(messages: Sequence[model_pb2.ModelAlias]) -> list[Alias]:
    """Reads ModelAlias messages of the registry."""
    return [
        Alias(
            parse_name("model", "models", m.model),
            m.alias,
            version_from_proto(m.model_version),
            release_from_proto(m.release) if m.HasField("release") else None,
        )
        for m in messages
    ]


def release_from_proto(message: model_pb2.Release) -> Release:
    """Reads a Release of the registry."""
    rules = message.rules
    limits = ReleaseRules(
        max_error_rate_increase=rules.max_error_rate_increase if rules.HasField("max_error_rate_increase") else None,
        max_p99_latency_ratio=rules.max_p99_latency_ratio if rules.HasField("max_p99_latency_ratio") else None,
        max_label_shift=rules.max_label_shift if rules.HasField("max_label_shift") else None,
        min_samples=rules.min_samples,
    )
    candidate = version_from_proto(message.candidate_version)
    return Release(message.name, candidate, message.weight, message.shadow, limits)


def update_from_proto(message: model_pb2.WatchModelAliasesResponse) -> AliasUpdate:
    """Reads one message of the alias stream."""
    return AliasUpdate(aliases_from_proto(message.aliases), message.complete)


def tokenize_request_to_proto(tokenizer: str, query: TokenQuery, max_tokens: int) -> tokenization_pb2.TokenizeRequest:
    """Makes a TokenizeRequest; it asks for what the query needs and no more."""
    request = tokenization_pb2.TokenizeRequest(
        tokenizer=tokenizer, texts=query.texts, pair_texts=query.pair_texts, max_tokens=max_tokens
    )
    if query.pair_texts:
        request.options.outputs.append(tokenization_pb2.OUTPUT_TYPE_IDS)
    if query.places:
        request.options.outputs.extend(_PLACES)
    if query.stride is not None:
        request.options.windows.stride = query.stride
        if query.pair_texts:
            request.options.truncation = tokenization_pb2.TRUNCATION_ONLY_SECOND
    return request


def tokens_from_proto(response: tokenization_pb2.TokenizeResponse) -> Tokens:
    """Reads a TokenizeResponse: cuts its packed arrays into rows."""
    bounds = list(pairwise(accumulate(response.lengths, initial=0)))
    ids = np.array(response.ids, dtype=np.int32)
    windowed = len(response.text_indices) > 0 or len(response.original_lengths) != len(response.lengths)
    originals = zip(response.original_lengths, response.lengths, strict=False)
    return Tokens(
        rows=[ids[start:end] for start, end in bounds],
        # Windows lose nothing.
        truncated=[not windowed and whole > kept for whole, kept in originals],
        tokenizer_digest=response.tokenizer_digest,
        segment_starts=_segment_starts(response, bounds),
        text_of=list(response.text_indices),
        places=_places(response, bounds),
    )


def _segment_starts(response: tokenization_pb2.TokenizeResponse, bounds: Sequence[tuple[int, int]]) -> list[int]:
    if not response.type_ids:
        return []
    types = np.array(response.type_ids, dtype=np.int32)
    # argmax gives the first 1, and 0 where there is none.
    return [int((types[start:end] > 0).argmax()) for start, end in bounds]


def _places(response: tokenization_pb2.TokenizeResponse, bounds: Sequence[tuple[int, int]]) -> list[Places]:
    if not response.sequence_ids:
        return []
    arrays = [
        np.array(values, dtype=np.int32)
        for values in (response.sequence_ids, response.word_ids, response.starts, response.ends)
    ]
    return [Places(*(array[start:end] for array in arrays)) for start, end in bounds]


def prediction_to_proto(prediction: Prediction) -> pb.Prediction:
    """Makes a Prediction."""
    message = pb.Prediction(truncated=prediction.truncated)
    match prediction.result:
        case Classification(classes, decided):
            made = [pb.ClassProbability(label=c.label, probability=c.probability) for c in (*classes, decided)]
            message.classification.CopyFrom(pb.Classification(classes=made[:-1], decided=made[-1]))
        case MultiLabel(labels):
            held = [pb.LabelProbability(label=c.label, probability=c.probability) for c in labels]
            message.multi_label.CopyFrom(pb.MultiLabel(labels=held))
        case Score(value):
            message.score.value = value
        case Similarity(cosine):
            message.similarity.cosine = cosine
        case AnswerSpans(spans, none):
            message.answer_spans.no_answer_probability = none
            for span in spans:
                message.answer_spans.spans.add(
                    text=span.text, start=span.start, end=span.end, probability=span.probability
                )
        case Entities(entities):
            message.entities.SetInParent()
            for e in entities:
                message.entities.entities.add(
                    type=e.type, text=e.text, start=e.start, end=e.end, probability=e.probability
                )
        case Embedding(values):
            message.embedding.values.extend(values.tolist())
        case Ranking(matches, catalogue_version):
            message.ranking.catalogue_version = catalogue_version
            message.ranking.SetInParent()
            for match in matches:
                message.ranking.matches.add(index=match.index, id=match.id, score=match.score)
    return message


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def licensed_from_proto(message: base_model_pb2.BaseModel) -> LicensedBase:
    """A base model as far as its licence goes."""
    given = message.terms
    ends = given.expire_time.ToDatetime(UTC) if given.HasField("expire_time") else None
    terms = LicenseTerms(tuple(given.tenants), ends, given.noncommercial, given.uri)
    return LicensedBase(message.name, message.digest, message.provider, message.license, terms)
