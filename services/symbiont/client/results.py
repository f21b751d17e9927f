"""Answers of Predict as plain values, and of Tokenize as rows; other methods return the message of their proto."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from symbiont.api.inference.v1 import inference_pb2
from symbiont.api.tokenization.v1 import tokenization_pb2

T = TypeVar("T")


@dataclass(frozen=True)
class ClassProbability:
    """One class, and its probability from 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer for one text. `classes` are best first; `truncated` says that the text's end was cut."""

    classes: tuple[ClassProbability, ...]
    truncated: bool

    @property
    def label(self) -> str:
        """The best class."""
        return self.classes[0].label

    @property
    def probability(self) -> float:
        """The probability of the best class."""
        return self.classes[0].probability


@dataclass(frozen=True)
class StageMilliseconds:
    """Where the time of a call went, in milliseconds."""

    resolve: float
    tokenize: float
    infer: float


@dataclass(frozen=True)
class Predictions:
    """Answers in the order of the texts, with the names and digests of what gave them."""

    predictions: tuple[Prediction, ...]
    model_version: str
    base_digest: str
    tokenizer_digest: str
    bundle_digest: str
    stages: StageMilliseconds


def predictions_of(response: inference_pb2.PredictResponse) -> Predictions:
    """Reads a response."""
    served, times = response.served_model, response.stage_times
    return Predictions(
        predictions=tuple(_prediction_of(p) for p in response.predictions),
        model_version=served.model_version,
        base_digest=served.base_digest,
        tokenizer_digest=served.tokenizer_digest,
        bundle_digest=served.bundle_digest,
        stages=StageMilliseconds(_ms(times.resolve), _ms(times.tokenize), _ms(times.infer)),
    )


def token_rows(response: tokenization_pb2.TokenizeResponse, values: Sequence[T]) -> list[Sequence[T]]:
    """Cuts an array of a response into its rows: `token_rows(response, response.ids)`."""
    return [values[start:stop] for start, stop in pairwise(accumulate(response.lengths, initial=0))]


def _prediction_of(message: inference_pb2.Prediction) -> Prediction:
    classes = tuple(ClassProbability(c.label, c.probability) for c in message.classification.classes)
    return Prediction(classes, message.truncated)


def _ms(duration: Duration) -> float:
    return duration.seconds * 1e3 + duration.nanos / 1e6
