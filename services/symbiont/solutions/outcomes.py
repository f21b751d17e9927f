"""What a served model answered, as an outcome that `evaluation` judges."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from symbiont.client import Prediction
from symbiont.evaluation import (
    Answered,
    Classified,
    Compared,
    Costs,
    MultiLabelled,
    Outcome,
    Retrieved,
    Rows,
    Scored,
    Tagged,
    answered,
    decide,
    parts_by_row,
    ragged,
    rows_of,
)
from symbiont.evaluation.metrics.classification import probabilities
from symbiont.evaluation.metrics.embedding import CUTS
from symbiont.solutions.marking import Mark
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_serving import Reject
from symbiont.solutions.rows import SolutionRow

# Of what a model gives no probability at all.
_LEAST = 1e-9


def judged_rows(rows: Sequence[SolutionRow]) -> Rows:
    """Returns the rows as they are judged: with their groups and slices."""
    names = rows[0].slices if rows else {}
    slices = {name: [_number(row.slices[name]) for row in rows] for name in names}
    groups = [row.group for row in rows] if any(row.group for row in rows) else []
    return rows_of([row.text for row in rows], [row.pair for row in rows], groups=groups, slices=slices)


def _number(value: str) -> float | str | None:
    try:
        return float(value)
    except ValueError:
        return value or None


def outcome_of(recipe: Recipe, rows: Sequence[SolutionRow], predictions: Sequence[Prediction]) -> Outcome:
    """Returns what was answered to rows, beside what is true."""
    match recipe.task.head:
        case "classification":
            return _classified(recipe, rows, predictions)
        case "multi-label":
            return _multi_labelled(rows, predictions)
        case "score":
            said = np.array([one.score for one in predictions])
            return Scored(judged_rows(rows), said, np.array([float(row.label) for row in rows]))
        case "spans":
            return _answered(rows, predictions)
        case "entities":
            return tagged(rows, [[(e.start, e.end, e.type) for e in one.entities] for one in predictions])
        case _:
            said = np.array([one.similarity for one in predictions])
            return Compared(judged_rows(rows), said, np.array([float(row.label or 0) for row in rows]))


def classified(
    rows: Sequence[SolutionRow],
    labels: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    said: Sequence[str],
    costs: "tuple[tuple[float, ...], ...]" = (),
) -> Classified:
    """Returns an outcome of probabilities [rows, labels] and what was answered; truths that are no label are added."""
    every = [*labels, *sorted({str(row.label) for row in rows} - set(labels))]
    places = {label: place for place, label in enumerate(every)}
    given = np.full((len(rows), len(every)), _LEAST)
    given[:, : len(labels)] = np.maximum(np.asarray(probabilities, np.float64).reshape(len(rows), len(labels)), _LEAST)
    return Classified(
        judged_rows(rows),
        tuple(every),
        np.log(given).astype(np.float32),
        np.array([places[str(row.label)] for row in rows], np.int64),
        answered=np.array([places[one] for one in said], np.int64),
        costs=costs if len(costs) == len(every) else (),
    )


def _classified(recipe: Recipe, rows: Sequence[SolutionRow], predictions: Sequence[Prediction]) -> Classified:
    labels = sorted({one.label for prediction in predictions for one in prediction.classes})
    reject = recipe.serving.reject
    if reject and reject.label not in labels:
        labels.append(reject.label)
    table = [{one.label: one.probability for one in prediction.classes} for prediction in predictions]
    said = [_said(prediction, reject) for prediction in predictions]
    probabilities = [[line.get(label, _LEAST) for label in labels] for line in table]
    return classified(rows, labels, probabilities, said, _costs(recipe, labels))


def _said(prediction: Prediction, reject: Reject | None) -> str:
    if reject and prediction.classes[0].probability < reject.below:
        return reject.label
    return prediction.label


def decided_by_costs(recipe: Recipe, outcome: Outcome) -> Outcome:
    """Returns an outcome as it would be decided by the recipe's costs; where errors cost alike, as it is."""
    if not isinstance(outcome, Classified) or not (matrix := _costs(recipe, outcome.labels)):
        return outcome
    given = probabilities(outcome)
    return replace(outcome, answered=decide(given, Costs(matrix, outcome.labels)), costs=matrix)


def _costs(recipe: Recipe, labels: Sequence[str]) -> "tuple[tuple[float, ...], ...]":
    costs = recipe.development.costs
    if costs is None:
        return ()
    dear = {True: costs.false_negative, False: costs.false_positive}
    return tuple(tuple(0.0 if t == a else dear[t == costs.positive_label] for a in labels) for t in labels)


def _multi_labelled(rows: Sequence[SolutionRow], predictions: Sequence[Prediction]) -> MultiLabelled:
    labels = sorted({name for row in rows for name in row.label} | {c.label for p in predictions for c in p.labels})
    found = [{one.label for one in prediction.labels} for prediction in predictions]
    # Only labels that hold are answered: how sure of the others it is, callers do not see.
    logits = np.array([[4.0 if label in held else -4.0 for label in labels] for held in found], np.float32)
    truth = np.array([[label in row.label for label in labels] for row in rows], bool)
    return MultiLabelled(judged_rows(rows), tuple(labels), logits, truth)


def _answered(rows: Sequence[SolutionRow], predictions: Sequence[Prediction]) -> Answered:
    said = [prediction.spans[0].text if prediction.spans else "" for prediction in predictions]
    return answered(judged_rows(rows), said, [[one["text"] for one in row.label] for row in rows])


def tagged(rows: Sequence[SolutionRow], said: Sequence[Sequence[Mark]]) -> Tagged:
    """Returns the outcome of named parts that were found in each row."""
    truth = [[(one["start"], one["end"], one["label"]) for one in row.label] for row in rows]
    types = sorted({name for parts in (*truth, *said) for _, _, name in parts})
    return Tagged(judged_rows(rows), tuple(types), parts_by_row(said, types), parts_by_row(truth, types))


def found_in_catalogue(rows: Sequence[SolutionRow], found: Sequence[Sequence[str]], keys: int) -> Retrieved:
    """Returns the outcome of searches: how far in front the entry of a row's label stands, each answer counted once.

    Args:
        found: keys of entries, best first; a key stands there once for each of its texts.
        keys: how many answers there are; what was not found is the last of them, and behind every cut.
    """
    answers = [list(dict.fromkeys(line)) for line in found]
    last = max(keys, max(CUTS) + 1)
    ranks = [
        [[line.index(str(row.label)) + 1 if str(row.label) in line else last]]
        for row, line in zip(rows, answers, strict=True)
    ]
    return Retrieved(judged_rows(rows), ragged(ranks, 1), keys)
