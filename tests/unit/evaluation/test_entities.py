"""Parts of tags, and their metrics; the expected numbers are those of seqeval 1.2.2, strict, IOB2."""

import numpy as np
import pytest

from support.outcomes import some_rows
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.bootstrap import point_values
from symbiont.evaluation.making.tags import parts_by_row, parts_of_tags
from symbiont.evaluation.metrics import entities
from symbiont.evaluation.outcomes import Tagged

TYPES = ("LOC", "ORG", "PER")
TAGS = ["O", *(f"{begin}-{name}" for name in TYPES for begin in "BI")]

# Seed, precision, recall, F1 and macro-F1 of `random_tags`.
SEQEVAL = [
    (0, 0.677966101695, 0.759493670886, 0.716417910448, 0.716205533597),
    (1, 0.763005780347, 0.721311475410, 0.741573033708, 0.736078187139),
    (2, 0.722580645161, 0.708860759494, 0.715654952077, 0.720728422271),
    (3, 0.653594771242, 0.680272108844, 0.666666666667, 0.664835164835),
]


@pytest.mark.parametrize(
    ("tags", "parts"),
    [
        ("O O", []),
        ("B-PER I-PER O", [(0, 2, "PER")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("B-PER I-ORG", [(0, 1, "PER")]),
        ("I-PER I-PER O", []),
        ("O I-PER B-PER I-PER", [(2, 4, "PER")]),
        ("B-PER O I-PER", [(0, 1, "PER")]),
        ("B-PER I-ORG I-PER", [(0, 1, "PER")]),
        ("B-PER", [(0, 1, "PER")]),
        ("", []),
    ],
)
def test_parts_of_tags(tags: str, parts: list) -> None:
    assert parts_of_tags(tags.split()) == parts


def tagged(truth: list[list[str]], predicted: list[list[str]]) -> Tagged:
    rows = some_rows(len(truth))
    both = [parts_by_row([parts_of_tags(tags) for tags in part], TYPES) for part in (predicted, truth)]
    return Tagged(rows, TYPES, *both)


def random_tags(seed: int, rows: int = 60) -> tuple[list[list[str]], list[list[str]]]:
    random = np.random.default_rng(seed)
    truth = [random.choice(TAGS, int(random.integers(1, 12))).tolist() for _ in range(rows)]
    return truth, [[tag if random.random() < 0.7 else str(random.choice(TAGS)) for tag in tags] for tags in truth]


def found(outcome: Tagged) -> dict[str, float]:
    return point_values(entities.families(outcome), len(outcome))


@pytest.mark.parametrize(("seed", "precision", "recall", "f1", "macro"), SEQEVAL)
def test_random_tags(seed: int, precision: float, recall: float, f1: float, macro: float) -> None:
    values = found(tagged(*random_tags(seed)))
    expected = {"precision": precision, "recall": recall, "micro_f1": f1, "macro_f1": macro}
    assert values == pytest.approx(expected, abs=1e-9)


def test_the_table_of_types() -> None:
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"]]
    said = [["B-PER", "I-PER", "O", "B-ORG"], ["B-ORG", "B-LOC"]]
    table = {row.label: row for row in entities.classes(tagged(truth, said))}
    assert (table["PER"].precision, table["PER"].recall, table["PER"].support) == (1, 1, 1)
    assert (table["ORG"].precision, table["ORG"].recall, table["ORG"].predicted) == (0.5, 1, 2)
    assert (table["LOC"].precision, table["LOC"].recall, table["LOC"].f1) == (0, 0, 0)
    assert entities.right(tagged(truth, said)).tolist() == [False, False]


def test_a_part_said_twice_counts_once() -> None:
    one = parts_by_row([[(0, 2, "PER"), (0, 2, "PER")]], TYPES)
    assert found(Tagged(some_rows(1), TYPES, one, one))["micro_f1"] == 1


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="DATE"):
        parts_by_row([[(0, 1, "DATE")]], TYPES)
