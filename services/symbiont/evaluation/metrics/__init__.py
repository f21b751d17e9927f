"""Metrics by kind of outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from symbiont.evaluation.arrays import Bools, Floats
from symbiont.evaluation.metrics import answers, classification, embedding, entities, multi_label, score
from symbiont.evaluation.metrics.family import Family
from symbiont.evaluation.outcomes import (
    Answered,
    Classified,
    Compared,
    MultiLabelled,
    Outcome,
    Retrieved,
    Scored,
    Tagged,
)


@dataclass(frozen=True)
class Judging:
    """How a kind of outcome is judged.

    `right` says which rows were right, None where that cannot be said of a row; `confidence` how sure the model was.
    """

    primary: str
    families: Callable[[Any], list[Family]]
    right: Callable[[Any], Bools | None]
    confidence: Callable[[Any], Floats | None]


def _given(outcome: Tagged | Answered) -> Floats | None:
    return outcome.confidence if len(outcome.confidence) else None


def _none(outcome: Outcome) -> None:
    return None


_JUDGING: dict[type[Outcome], Judging] = {
    Classified: Judging(
        classification.PRIMARY, classification.families, classification.right, classification.confidence
    ),
    MultiLabelled: Judging(multi_label.PRIMARY, multi_label.families, multi_label.right, multi_label.confidence),
    Scored: Judging(score.PRIMARY, score.families, score.right, _none),
    Tagged: Judging(entities.PRIMARY, entities.families, entities.right, _given),
    Answered: Judging(answers.PRIMARY, answers.families, answers.right, _given),
    Retrieved: Judging(embedding.PRIMARY_OF_SEARCH, embedding.search_families, embedding.found_first, _none),
    Compared: Judging(embedding.PRIMARY_OF_SIMILARITY, embedding.similarity_families, _none, _none),
}


def judging(outcome: Outcome) -> Judging:
    """Returns how an outcome is judged."""
    return _JUDGING[type(outcome)]


def primary(outcome: Outcome) -> str:
    """Returns the name of the metric that stands for the task where one must."""
    return judging(outcome).primary
