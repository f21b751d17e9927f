"""From messages of the inference service to the client's values."""

import numpy as np
from google.protobuf.duration_pb2 import Duration

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.client.errors import RequestError, refusal
from symbiont.client.results import (
    AnswerSpan,
    AnswerSpans,
    Classification,
    ClassProbability,
    Embedding,
    Entities,
    Entity,
    Explanation,
    Explanations,
    FieldAttribution,
    Match,
    MultiLabel,
    Prediction,
    Predictions,
    Ranking,
    Result,
    Score,
    Similarity,
    StageMilliseconds,
    WordAttribution,
)


def predictions_of(response: pb.PredictResponse) -> Predictions:
    """Reads a response."""
    found = tuple(Prediction(_result_of(p), p.truncated) for p in response.predictions)
    return Predictions(found, *_served(response), stages=_stages(response.stage_times))


def explanations_of(response: pb.ExplainResponse) -> Explanations:
    """Reads a response."""
    found = tuple(
        Explanation(
            each.label,
            each.value,
            tuple(WordAttribution(w.text, w.start, w.end, w.attribution, w.sequence) for w in each.words),
            each.truncated,
            tuple(FieldAttribution(one.name, one.attribution) for one in each.fields),
        )
        for each in response.explanations
    )
    return Explanations(found, *_served(response), stages=_stages(response.stage_times))


def stream_answer_of(response: pb.PredictStreamResponse) -> tuple[str, Predictions | RequestError]:
    """Reads one answer of a stream."""
    if response.WhichOneof("outcome") == "error":
        error = response.error
        return response.id, refusal(error.code, error.message, error.reason, error.field)
    return response.id, predictions_of(response.response)


def _result_of(message: pb.Prediction) -> Result:
    match message.WhichOneof("result"):
        case "multi_label":
            return MultiLabel(tuple(ClassProbability(c.label, c.probability) for c in message.multi_label.labels))
        case "score":
            return Score(message.score.value)
        case "similarity":
            return Similarity(message.similarity.cosine)
        case "answer_spans":
            spans = tuple(AnswerSpan(s.text, s.start, s.end, s.probability) for s in message.answer_spans.spans)
            return AnswerSpans(spans, message.answer_spans.no_answer_probability)
        case "entities":
            return Entities(
                tuple(Entity(e.type, e.text, e.start, e.end, e.probability) for e in message.entities.entities)
            )
        case "embedding":
            return Embedding(np.array(message.embedding.values, np.float32))
        case "ranking":
            found = tuple(Match(m.index, m.score, m.id) for m in message.ranking.matches)
            return Ranking(found, message.ranking.catalogue_version)
        case _:
            classes, decided = message.classification.classes, message.classification.decided
            made = tuple(ClassProbability(c.label, c.probability) for c in classes)
            return Classification(made, ClassProbability(decided.label, decided.probability))


def _served(response: pb.PredictResponse | pb.ExplainResponse) -> tuple[str, str, str, str]:
    served = response.served_model
    return served.model_version, served.base_digest, served.tokenizer_digest, served.bundle_digest


def _stages(times: pb.StageTimes) -> StageMilliseconds:
    return StageMilliseconds(*map(_ms, (times.resolve, times.tokenize, times.infer, times.queue, times.compute)))


def _ms(duration: Duration) -> float:
    return duration.seconds * 1e3 + duration.nanos / 1e6
