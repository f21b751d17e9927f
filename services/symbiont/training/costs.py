"""What answers cost: as a spec says it, and as a matrix over the labels of a head."""

from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import Field, model_validator

from symbiont.training.part import Finite, Message

Matrix = tuple[tuple[float, ...], ...]


class AnswerCost(Message):
    """What it costs to answer a label where a label is true."""

    truth: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    cost: Finite = 0.0


class CostMatrix(Message):
    """Costs by pairs of labels; what is not named costs 0 where it is right and 1 where it is wrong."""

    costs: tuple[AnswerCost, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _pairs_differ(self) -> Self:
        pairs = [(each.truth, each.answer) for each in self.costs]
        if len(set(pairs)) < len(pairs):
            raise ValueError("a pair of labels is given twice")
        return self


class BinaryCosts(Message):
    """Costs of the two errors between two labels."""

    positive_label: str = Field(min_length=1)
    false_positive: Finite = Field(gt=0)
    false_negative: Finite = Field(gt=0)


def matrix_of(costs: CostMatrix | BinaryCosts | None, labels: Sequence[str]) -> Matrix:
    """Returns what answers cost, [true][answered] in the order of the labels, which are known; empty for no costs."""
    if costs is None:
        return ()
    if isinstance(costs, BinaryCosts):
        found = labels.index(costs.positive_label)
        rows = [[0.0, 0.0], [0.0, 0.0]]
        rows[1 - found][found], rows[found][1 - found] = costs.false_positive, costs.false_negative
    else:
        place = {label: index for index, label in enumerate(labels)}
        rows = [[float(truth != answer) for answer in labels] for truth in labels]
        for each in costs.costs:
            rows[place[each.truth]][place[each.answer]] = each.cost
    return tuple(map(tuple, rows))


def named(matrix: Matrix, labels: Sequence[str]) -> CostMatrix:
    """Returns costs by the names of labels."""
    lines = zip(labels, matrix, strict=True)
    pairs = ((truth, answer, cost) for truth, line in lines for answer, cost in zip(labels, line, strict=True))
    return CostMatrix(costs=tuple(AnswerCost(truth=truth, answer=answer, cost=cost) for truth, answer, cost in pairs))


def problems(costs: CostMatrix | BinaryCosts, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with costs for these labels: the path of the field within them, and what to do."""
    there = f"the labels are {', '.join(labels[:20])}"
    if isinstance(costs, BinaryCosts):
        if len(labels) != 2:
            yield "", f"they are for two labels, and there are {len(labels)}: give a cost_matrix"
        if costs.positive_label not in labels:
            yield ".positive_label", f"there is no label {costs.positive_label!r}: {there}"
        return
    unknown = [
        (f".costs[{index}].{name}", f"there is no label {value!r}: {there}")
        for index, each in enumerate(costs.costs)
        for name, value in (("truth", each.truth), ("answer", each.answer))
        if value not in labels
    ]
    yield from unknown
    if not unknown:
        yield from _dear(matrix_of(costs, labels), labels)


def _dear(matrix: Matrix, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields labels that it would be cheaper never to answer rightly, which is a slip: costs are no gains."""
    for place, (label, row) in enumerate(zip(labels, matrix, strict=True)):
        least = min(row)
        if least < row[place]:
            other = labels[row.index(least)]
            problem = (
                f"where {label!r} is true, answering it costs {row[place]:g} and answering {other!r} {least:g}: "
                "a right answer costs no more than a wrong one"
            )
            yield ".costs", problem
