"""Answers of Predict and Explain as plain values, and of Tokenize as rows.

Other methods return the message of their proto.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from symbiont.api.tokenization.v1 import tokenization_pb2

T = TypeVar("T")


@dataclass(frozen=True)
class ClassProbability:
    """One class, and its probability from 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """Classes, most probable first, and the one that the model answers: where it was trained with costs, another one
    than the most probable may be cheaper.
    """

    classes: tuple[ClassProbability, ...]
    decided: ClassProbability


@dataclass(frozen=True)
class MultiLabel:
    """Labels that hold, most probable first."""

    labels: tuple[ClassProbability, ...]


@dataclass(frozen=True)
class Score:
    """A number, on the scale that the model was trained on."""

    value: float


@dataclass(frozen=True)
class Similarity:
    """How alike two texts are: -1 to 1."""

    cosine: float


@dataclass(frozen=True)
class AnswerSpan:
    """A part of a context, with where it begins and ends there."""

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class AnswerSpans:
    """Answers, most probable first; none where most speaks for there being no answer."""

    spans: tuple[AnswerSpan, ...]
    no_answer_probability: float


@dataclass(frozen=True)
class Entity:
    """A name in a text, with where it begins and ends there."""

    type: str
    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class Entities:
    """Names, in the order of the text."""

    entities: tuple[Entity, ...]


@dataclass(frozen=True, eq=False)
class Embedding:
    """A vector of length 1."""

    values: NDArray[np.float32]


@dataclass(frozen=True)
class Match:
    """A candidate by its place among the candidates, or by its `id` in a catalogue, and how well it fits."""

    index: int
    score: float
    id: str = ""


@dataclass(frozen=True)
class Ranking:
    """Candidates, best first; `catalogue_version` is what was searched, empty for candidates of the call."""

    matches: tuple[Match, ...]
    catalogue_version: str = ""


Result = Classification | MultiLabel | Score | Similarity | AnswerSpans | Entities | Embedding | Ranking
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Prediction:
    """The answer for one input: a result of the kind that the model's task gives.

    The properties below read the result; of another task's result they raise TypeError. `truncated` says that a text's
    end was cut.
    """

    result: Result
    truncated: bool

    @property
    def classes(self) -> tuple[ClassProbability, ...]:
        """The classes, most probable first."""
        return self._as(Classification).classes

    @property
    def label(self) -> str:
        """The class that is answered."""
        return self._as(Classification).decided.label

    @property
    def probability(self) -> float:
        """The probability of the class that is answered."""
        return self._as(Classification).decided.probability

    @property
    def labels(self) -> tuple[ClassProbability, ...]:
        """The labels that hold, most probable first."""
        return self._as(MultiLabel).labels

    @property
    def score(self) -> float:
        """The number."""
        return self._as(Score).value

    @property
    def similarity(self) -> float:
        """The cosine of two texts."""
        return self._as(Similarity).cosine

    @property
    def spans(self) -> tuple[AnswerSpan, ...]:
        """The answers, most probable first."""
        return self._as(AnswerSpans).spans

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The names, in the order of the text."""
        return self._as(Entities).entities

    @property
    def embedding(self) -> NDArray[np.float32]:
        """The vector."""
        return self._as(Embedding).values

    @property
    def matches(self) -> tuple[Match, ...]:
        """The candidates, best first."""
        return self._as(Ranking).matches

    def _as(self, kind: type[R]) -> R:
        if not isinstance(self.result, kind):
            raise TypeError(f"the model's task gives {type(self.result).__name__}, not {kind.__name__}")
        return self.result


@dataclass(frozen=True)
class StageMilliseconds:
    """Where the time of a call went, in milliseconds; `queue` and `compute` are parts of `infer`."""

    resolve: float
    tokenize: float
    infer: float
    queue: float = 0.0
    compute: float = 0.0


@dataclass(frozen=True)
class Predictions:
    """Answers in the order of the inputs, with the names and digests of what gave them."""

    predictions: tuple[Prediction, ...]
    model_version: str
    base_digest: str
    tokenizer_digest: str
    bundle_digest: str
    stages: StageMilliseconds


@dataclass(frozen=True)
class WordAttribution:
    """How much an answer's value falls when a word, or a sentence, is hidden; below 0, it speaks against it.

    `sequence` is 0 for the text, or the first one of a pair, and 1 for the second.
    """

    text: str
    start: int
    end: int
    attribution: float
    sequence: int = 0


@dataclass(frozen=True)
class FieldAttribution:
    """How much an answer's value falls when a business field is missing; below 0, the field speaks against it."""

    name: str
    attribution: float


@dataclass(frozen=True)
class Explanation:
    """What words and business fields do to the probability of a label, or to a score, whose label is empty."""

    label: str
    value: float
    words: tuple[WordAttribution, ...]
    truncated: bool
    fields: tuple[FieldAttribution, ...] = ()


@dataclass(frozen=True)
class Explanations:
    """Explanations in the order of the inputs, with the names and digests of what gave them."""

    explanations: tuple[Explanation, ...]
    model_version: str
    base_digest: str
    tokenizer_digest: str
    bundle_digest: str
    stages: StageMilliseconds


def token_rows(response: tokenization_pb2.TokenizeResponse, values: Sequence[T]) -> list[Sequence[T]]:
    """Cuts an array of a response into its rows: `token_rows(response, response.ids)`."""
    return [values[start:stop] for start, stop in pairwise(accumulate(response.lengths, initial=0))]
