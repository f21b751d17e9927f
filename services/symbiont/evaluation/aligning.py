"""Two versions on the same rows, in the same order."""

from dataclasses import dataclass, replace

import numpy as np

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Ints
from symbiont.evaluation.outcomes import Classified, Logits, MultiLabelled, Outcome, Ragged, Retrieved, Tagged

# Below any logit that a version has: it does not know the label.
_UNKNOWN = 40.0


@dataclass(frozen=True)
class Aligned:
    """Both versions on the rows that both answered, and how many others each had."""

    candidate: Outcome
    incumbent: Outcome
    only_candidate: int
    only_incumbent: int


def align(candidate: Outcome, incumbent: Outcome) -> Aligned:
    """Returns both on the rows that they have in common, by what their texts are.

    Slices, groups and, where the outcome keeps them, truth and costs are the candidate's: labels may have been
    corrected since. Classes may have been added or dropped: a version gives one that it does not know the least
    probability.

    Raises:
        InvalidArgument: they are of different kinds, searched among different texts, or have no row in common.
    """
    if type(candidate) is not type(incumbent):
        raise InvalidArgument("incumbent", "answers another task than the candidate")
    if isinstance(candidate, Retrieved) and candidate.candidates != getattr(incumbent, "candidates", 0):
        raise InvalidArgument("incumbent", "searched among other texts than the candidate")
    places = {key: row for row, key in enumerate(incumbent.rows.keys())}
    pairs = [(row, places[key]) for row, key in enumerate(candidate.rows.keys()) if key in places]
    if not pairs:
        raise InvalidArgument("incumbent", "was not judged on any row of the candidate's")
    one, other = (np.array(index, np.int64) for index in zip(*pairs, strict=True))
    first, second = _with_same_labels(candidate.take(one), incumbent.take(other))
    second = replace(second, rows=first.rows, **_judged_by(first))
    return Aligned(first, second, len(candidate) - len(one), len(incumbent) - len(one))


def _judged_by(outcome: Outcome) -> dict[str, object]:
    return {name: getattr(outcome, name) for name in ("truth", "costs") if hasattr(outcome, name)}


def _with_same_labels(one: Outcome, other: Outcome) -> tuple[Outcome, Outcome]:
    if isinstance(one, Tagged) and isinstance(other, Tagged):
        types = _union(one.types, other.types)
        return _retyped(one, types), _retyped(other, types)
    if isinstance(one, Classified) and isinstance(other, Classified):
        labels = _union(one.labels, other.labels)
        return _relabelled(one, labels), _relabelled(other, labels)
    if isinstance(one, MultiLabelled) and isinstance(other, MultiLabelled):
        labels = _union(one.labels, other.labels)
        return _relabelled_many(one, labels), _relabelled_many(other, labels)
    return one, other


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _spread(logits: Logits, known: tuple[str, ...], labels: tuple[str, ...]) -> Logits:
    low = (float(logits.min()) if logits.size else 0.0) - _UNKNOWN
    wide = np.full((len(logits), len(labels)), low, np.float32)
    wide[:, _places(known, labels)] = logits
    return wide


def _places(known: tuple[str, ...], labels: tuple[str, ...]) -> Ints:
    return np.array([labels.index(label) for label in known], np.int64)


def _relabelled(outcome: Classified, labels: tuple[str, ...]) -> Classified:
    if outcome.labels == labels:
        return outcome
    place = _places(outcome.labels, labels)
    logits = _spread(outcome.logits, outcome.labels, labels)
    answered = place[outcome.answered] if len(outcome.answered) else outcome.answered
    return replace(
        outcome,
        labels=labels,
        logits=logits,
        truth=place[outcome.truth],
        answered=answered,
        costs=_priced(outcome, labels),
    )


def _priced(outcome: Classified, labels: tuple[str, ...]) -> tuple[tuple[float, ...], ...]:
    """Returns the costs over more labels: of one that they do not know, 1 where it is wrong."""
    if not outcome.costs:
        return ()
    wide, place = 1 - np.eye(len(labels)), _places(outcome.labels, labels)
    wide[np.ix_(place, place)] = outcome.costs
    return tuple(tuple(line) for line in wide.tolist())


def _relabelled_many(outcome: MultiLabelled, labels: tuple[str, ...]) -> MultiLabelled:
    if outcome.labels == labels:
        return outcome
    truth = np.zeros((len(outcome), len(labels)), bool)
    truth[:, _places(outcome.labels, labels)] = outcome.truth
    known = dict(zip(outcome.labels, outcome.thresholds, strict=False))
    chosen = tuple(known.get(label, 0.5) for label in labels) if outcome.thresholds else ()
    logits = _spread(outcome.logits, outcome.labels, labels)
    return replace(outcome, labels=labels, logits=logits, truth=truth, thresholds=chosen)


def _retyped(outcome: Tagged, types: tuple[str, ...]) -> Tagged:
    if outcome.types == types:
        return outcome
    place = _places(outcome.types, types)
    predicted, truth = (_renumbered(part, place) for part in (outcome.predicted, outcome.truth))
    return replace(outcome, types=types, predicted=predicted, truth=truth)


def _renumbered(parts: Ragged, place: Ints) -> Ragged:
    values = parts.values.copy()
    values[:, 2] = place[values[:, 2]]
    return replace(parts, values=values)
