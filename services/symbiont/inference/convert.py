"""Between the messages of Symbiont's services and the inference domain."""

from collections.abc import Sequence

import numpy as np
from google.protobuf.duration_pb2 import Duration

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2
from symbiont.api.training.v1 import model_pb2
from symbiont.common.resources import parse_name, parse_version_name
from symbiont.inference.types import (
    Alias,
    AliasUpdate,
    ModelVersion,
    PredictCall,
    Prediction,
    PredictResult,
    Tokens,
)


def predict_call_from_proto(request: pb.PredictRequest) -> PredictCall:
    """Reads a PredictRequest; an instance without input reads as an empty text, which is refused by its name."""
    return PredictCall(request.model, [instance.text for instance in request.instances], request.top_k)


def predict_result_to_proto(result: PredictResult) -> pb.PredictResponse:
    """Makes a PredictResponse."""
    return pb.PredictResponse(
        predictions=[_prediction_to_proto(prediction) for prediction in result.predictions],
        served_model=served_model_to_proto(result.version),
        stage_times=pb.StageTimes(**{stage: _duration(seconds) for stage, seconds in result.seconds.items()}),
    )


def served_model_to_proto(version: ModelVersion) -> pb.ServedModel:
    """Makes a ServedModel."""
    return pb.ServedModel(
        model_version=version.name,
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
        Alias(parse_name("model", "models", m.model), m.alias, version_from_proto(m.model_version)) for m in messages
    ]


def update_from_proto(message: model_pb2.WatchModelAliasesResponse) -> AliasUpdate:
    """Reads one message of the alias stream."""
    return AliasUpdate(aliases_from_proto(message.aliases), message.complete)


def tokens_from_proto(response: tokenization_pb2.TokenizeResponse) -> Tokens:
    """Reads a TokenizeResponse: cuts the packed ids into rows."""
    lengths = np.array(response.lengths, dtype=np.int64)
    ids = np.array(response.ids, dtype=np.int32)
    rows = np.split(ids, np.cumsum(lengths)[:-1]) if len(lengths) else []
    truncated = np.array(response.original_lengths, dtype=np.int64) > lengths
    return Tokens(rows, truncated.tolist(), response.tokenizer_digest)


def _prediction_to_proto(prediction: Prediction) -> pb.Prediction:
    classes = [pb.ClassProbability(label=c.label, probability=c.probability) for c in prediction.classes]
    return pb.Prediction(classification=pb.Classification(classes=classes), truncated=prediction.truncated)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
