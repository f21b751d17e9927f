"""Synthetic outcomes, by a seed."""

from dataclasses import replace
from typing import Any

import numpy as np

from symbiont.evaluation.making.answers import answered
from symbiont.evaluation.making.tags import Part, parts_by_row
from symbiont.evaluation.outcomes import (
    Answered,
    Classified,
    Compared,
    MultiLabelled,
    Outcome,
    Retrieved,
    Scored,
    Tagged,
    ragged,
)
from symbiont.evaluation.rows import Rows, rows_of


def some_rows(count: int, seed: int = 0, **more: Any) -> Rows:
    random = np.random.default_rng(seed)
    texts = [f"secret text {index}" for index in range(count)]
    slices = {
        "language": random.choice(["en", "zh", "de"], count).tolist(),
        "price": random.normal(size=count).tolist(),
    }
    return rows_of(texts, **{"tokens": random.integers(1, 700, count).tolist(), "slices": slices, **more})


def classified(
    count: int = 400,
    labels: tuple[str, ...] = ("no", "yes", "maybe"),
    seed: int = 0,
    strength: float = 1.5,
    **more: Any,
) -> Classified:
    """Logits from which truths are drawn: their softmax is calibrated."""
    random = np.random.default_rng(seed)
    logits = (strength * random.normal(size=(count, len(labels)))).astype(np.float32)
    gumbel = random.gumbel(size=logits.shape)
    return Classified(some_rows(count, seed, **more), labels, logits, (logits + gumbel).argmax(axis=1))


def costly(count: int = 400) -> Classified:
    """What was answered by costs: a miss of the second label is dear."""
    outcome, costs = classified(count), ((0.0, 1.0, 1.0), (20.0, 0.0, 20.0), (1.0, 1.0, 0.0))
    given = np.exp(outcome.logits.astype(np.float64))
    return replace(outcome, costs=costs, answered=(given @ np.asarray(costs)).argmin(axis=1))


def multi_labelled(count: int = 400, labels: tuple[str, ...] = ("a", "b", "c", "d"), seed: int = 0) -> MultiLabelled:
    random = np.random.default_rng(seed)
    logits = (2 * random.normal(size=(count, len(labels))) - 1).astype(np.float32)
    return MultiLabelled(some_rows(count, seed), labels, logits, logits + random.logistic(size=logits.shape) > 0)


def scored(count: int = 400, seed: int = 0, grades: bool = False) -> Scored:
    random = np.random.default_rng(seed)
    truth = random.integers(1, 6, count).astype(float) if grades else random.normal(size=count)
    return Scored(some_rows(count, seed), truth + 0.7 * random.normal(size=count), truth)


def tagged(count: int = 200, types: tuple[str, ...] = ("PER", "ORG"), seed: int = 0) -> Tagged:
    random = np.random.default_rng(seed)
    truth: list[list[Part]] = []
    predicted: list[list[Part]] = []
    for _ in range(count):
        starts = range(0, 10 * int(random.integers(0, 4)), 10)
        parts = [(start, start + 5, str(random.choice(types))) for start in starts]
        truth.append(parts)
        predicted.append([part if random.random() < 0.8 else (*part[:2], str(random.choice(types))) for part in parts])
    confidence = random.random(count)
    return Tagged(some_rows(count, seed), types, parts_by_row(predicted, types), parts_by_row(truth, types), confidence)


def answers(count: int = 60) -> Answered:
    said = ["the Eiffel Tower", "", "bridge of iron"]
    true = [["Eiffel tower", "tower"], [], ["iron bridge"]]
    return answered(some_rows(count), [said[i % 3] for i in range(count)], [true[i % 3] for i in range(count)])


def retrieved(count: int = 100, seed: int = 0) -> Retrieved:
    random = np.random.default_rng(seed)
    ranks = [sorted(random.choice(50, int(random.integers(1, 4)), replace=False) + 1) for _ in range(count)]
    return Retrieved(some_rows(count, seed), ragged([[[int(rank)] for rank in row] for row in ranks], 1), 50)


def compared(count: int = 100, seed: int = 0) -> Compared:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 6, count).astype(float)
    return Compared(some_rows(count, seed), truth + random.normal(size=count), truth)


EVERY: dict[str, Outcome] = {
    "classified": classified(),
    "costly": costly(),
    "multi_labelled": multi_labelled(),
    "scored": scored(),
    "grades": scored(grades=True),
    "tagged": tagged(),
    "answered": answers(),
    "retrieved": retrieved(),
    "compared": compared(),
}
