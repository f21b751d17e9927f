"""What a model answers, by task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassProbability:
    """A class or label, and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """Classes that exclude each other, most probable first, and the one that is answered."""

    classes: tuple[ClassProbability, ...]
    decided: ClassProbability


@dataclass(frozen=True)
class MultiLabel:
    """Labels that hold, most probable first."""

    labels: tuple[ClassProbability, ...]


@dataclass(frozen=True)
class Score:
    """A number."""

    value: float


@dataclass(frozen=True)
class Similarity:
    """Cosine of two embeddings, -1 to 1."""

    cosine: float


@dataclass(frozen=True)
class AnswerSpan:
    """A part of a context; `start` and `end` are in the unit that was asked for."""

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class AnswerSpans:
    """Parts of a context, most probable first; none where most speaks for there being no answer."""

    spans: Sequence[AnswerSpan]
    no_answer_probability: float


@dataclass(frozen=True)
class Entity:
    """A name in a text; `start` and `end` are in the unit that was asked for."""

    type: str
    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class Entities:
    """Names, in the order of the text."""

    entities: Sequence[Entity]


@dataclass(frozen=True, eq=False)
class Embedding:
    """A vector of length 1."""

    values: NDArray[np.float32]


@dataclass(frozen=True)
class Match:
    """A candidate by its place, and how well it fits; `id` where it is of a catalogue."""

    index: int
    score: float
    id: str = ""


@dataclass(frozen=True)
class Ranking:
    """Candidates, best first; of a catalogue, with the name of the version that was searched."""

    matches: Sequence[Match]
    catalogue_version: str = ""


Result = Classification | MultiLabel | Score | Similarity | AnswerSpans | Entities | Embedding | Ranking
