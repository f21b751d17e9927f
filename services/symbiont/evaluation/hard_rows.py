"""The rows that a person should look at first."""

from collections.abc import Callable
from typing import Any

import numpy as np

from symbiont.evaluation.arrays import Floats
from symbiont.evaluation.figures import HardRow
from symbiont.evaluation.metrics import classification, judging, multi_label
from symbiont.evaluation.outcomes import (
    Answered,
    Classified,
    Compared,
    MultiLabelled,
    Outcome,
    Ragged,
    Retrieved,
    Scored,
    Tagged,
)

# How far off a row is, where no probability says how sure the model was.
Off = Callable[[Any], Floats]
Said = Callable[[Any, int], tuple[str, str]]


def hardest(outcome: Outcome, n: int = 20) -> list[HardRow]:
    """Returns the rows that the model got wrong, the surest errors first, and then the least sure right ones.

    Where a model gives no probability, rows come in the order of how far off they are.
    """
    judge = judging(outcome)
    right, sure = judge.right(outcome), judge.confidence(outcome)
    off, said = _KINDS[type(outcome)]
    order = np.argsort(-off(outcome), kind="stable")
    if right is not None and sure is not None:
        order = np.argsort(np.where(right, 1 + sure, 1 - sure), kind="stable")
    return [
        HardRow(
            row=row,
            id=bytes(outcome.rows.ids[row]).hex(),
            truth=said(outcome, row)[0],
            predicted=said(outcome, row)[1],
            right=None if right is None else bool(right[row]),
            confidence=None if sure is None else float(sure[row]),
        )
        for row in order[: max(n, 0)].tolist()
    ]


def _class(outcome: Classified, row: int) -> tuple[str, str]:
    return outcome.labels[outcome.truth[row]], outcome.labels[classification.predicted(outcome)[row]]


def _labels(outcome: MultiLabelled, row: int) -> tuple[str, str]:
    one = outcome.take(np.array([row]))
    held = (outcome.truth[row], multi_label.predicted(one)[0])
    true, said = (", ".join(label for label, holds in zip(outcome.labels, part, strict=True) if holds) for part in held)
    return true, said


def _number(outcome: Scored | Compared, row: int) -> tuple[str, str]:
    return f"{outcome.truth[row]:.4g}", f"{outcome.predicted[row]:.4g}"


def _parts(outcome: Tagged, row: int) -> tuple[str, str]:
    return _named(outcome.truth, row, outcome.types), _named(outcome.predicted, row, outcome.types)


def _named(parts: Ragged, row: int, types: tuple[str, ...]) -> str:
    return ", ".join(f"{types[place]} {start}-{end}" for start, end, place in parts.of(row).tolist())


def _answer(outcome: Answered, row: int) -> tuple[str, str]:
    return "F1 1", f"F1 {outcome.f1[row]:.2f}"


def _rank(outcome: Retrieved, row: int) -> tuple[str, str]:
    return "#1", f"#{outcome.ranks.of(row)[0, 0]}"


def _wrong_parts(outcome: Tagged) -> Floats:
    pairs = ((outcome.truth.of(row).tolist(), outcome.predicted.of(row).tolist()) for row in range(len(outcome)))
    return np.array([len({*map(tuple, true)} ^ {*map(tuple, said)}) for true, said in pairs], np.float64)


def _rank_off(outcome: Compared) -> Floats:
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (outcome.predicted, outcome.truth)]
    off: Floats = np.abs(ranks[0] - ranks[1]).astype(np.float64)
    return off


_KINDS: dict[type[Outcome], tuple[Off, Said]] = {
    Classified: (lambda outcome: 1 - classification.confidence(outcome), _class),
    MultiLabelled: (lambda outcome: 1 - multi_label.confidence(outcome), _labels),
    Scored: (lambda outcome: np.abs(outcome.predicted - outcome.truth), _number),
    Tagged: (_wrong_parts, _parts),
    Answered: (lambda outcome: 1 - outcome.f1, _answer),
    Retrieved: (lambda outcome: outcome.ranks.values[outcome.ranks.offsets[:-1], 0].astype(np.float64), _rank),
    Compared: (_rank_off, _number),
}
