"""Chooses rows that are worth labelling, or looking at again."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.classes import classes_of
from symbiont.training.gate.features import (
    Features,
    Floats,
    Ints,
    Vectorizer,
    condensed,
    cross_validated,
    model,
    present,
    probabilities,
)
from symbiont.training.gate.results import Suggestion
from symbiont.training.gate.settings import Strategy, Suggest
from symbiont.training.gate.suspects import disagreements, ranked


def choose(
    rows: Sequence[Row],
    kind: LabelKind,
    settings: Suggest,
    labelled: Sequence[Row] = (),
    features: Features | None = None,
) -> list[Suggestion]:
    """Returns at most so many rows, each once, the most telling of each reason first.

    What the model says of a row comes from other rows, or from `labelled`, which have classes. Without either only
    diverse rows are chosen. MIXED takes from uncertain, suspect and diverse rows in turn.
    """
    vectorizer = Vectorizer([*labelled, *rows]) if features is None else None
    whole = vectorizer.features[len(labelled) :] if vectorizer else features
    assert whole is not None  # noqa: S101 - one of the two is there
    names, said, suspect = _opinion(rows, kind, settings.seed, labelled, vectorizer, whole)
    picks: dict[Strategy, Callable[[], list[int]]] = {
        Strategy.UNCERTAIN: lambda: _uncertain(said),
        Strategy.SUSPECT: lambda: suspect,
        Strategy.DIVERSE: lambda: _diverse(condensed(whole, settings.seed), settings.count),
    }
    mixed = settings.strategy is Strategy.MIXED
    asked = [Strategy.UNCERTAIN, Strategy.SUSPECT, Strategy.DIVERSE] if mixed else [settings.strategy]
    lines = {reason: picks[reason]() for reason in asked}
    chosen = _in_turn(lines, settings.count)
    if not len(names):
        return chosen
    best = said.argmax(axis=1)
    return [
        replace(item, label=names[best[item.row]], probability=float(said[item.row, best[item.row]])) for item in chosen
    ]


def _opinion(
    rows: Sequence[Row],
    kind: LabelKind,
    seed: int,
    labelled: Sequence[Row],
    vectorizer: Vectorizer | None,
    whole: Features,
) -> tuple[tuple[str, ...], Floats, list[int]]:
    """Returns names of classes, [rows, classes] probabilities, and the suspect rows, most suspect first."""
    none: tuple[tuple[str, ...], Floats, list[int]] = (), np.zeros((len(rows), 0)), []
    if labelled and vectorizer:
        known = classes_of(labelled, LabelKind.CLASS)
        if not known.enough:
            return none
        learned = vectorizer.features[: len(labelled)][known.rows]
        columns = present(learned)
        fitted = model(learned[:, columns], known.numbers, seed)
        return known.names, probabilities(fitted, whole[:, columns], len(known.names)), []
    classes = classes_of(rows, kind)
    if not classes.enough:
        return none
    said = np.full((len(rows), len(classes.names)), 1 / len(classes.names))
    said[classes.rows] = cross_validated(whole[classes.rows], classes.numbers, len(classes.names), seed)
    return classes.names, said, [s.row for s in ranked(classes, said[classes.rows], disagreements(rows))]


def _uncertain(said: Floats) -> list[int]:
    """Orders rows by entropy, the highest first."""
    if not said.shape[1]:
        return []
    entropy = -(said * np.log(np.maximum(said, 1e-12))).sum(axis=1)
    order: Ints = np.argsort(-entropy, kind="stable")
    return [int(place) for place in order]


def _diverse(points: Floats, count: int) -> list[int]:
    """Chooses points far from those chosen before (k-center, Sener and Savarese 2018, arXiv 1708.00489)."""
    middle = points.mean(axis=0)
    place = int(np.argmax(points @ middle))
    chosen, distance = list[int](), np.full(len(points), np.inf)
    for _ in range(min(count, len(points))):
        chosen.append(place)
        distance = np.minimum(distance, 1 - points @ points[place])
        distance[place] = -np.inf
        place = int(np.argmax(distance))
    return chosen


def _in_turn(lines: dict[Strategy, list[int]], count: int) -> list[Suggestion]:
    chosen: dict[int, Suggestion] = {}
    waiting = {reason: iter(line) for reason, line in lines.items()}
    while waiting and len(chosen) < count:
        for reason in list(waiting):
            place = next((place for place in waiting[reason] if place not in chosen), None)
            if place is None:
                del waiting[reason]
            elif len(chosen) < count:
                chosen[place] = Suggestion(place, reason)
    return list(chosen.values())
