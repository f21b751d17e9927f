"""What gives labels away is named, and what is only telling is not."""

import random
from dataclasses import replace

from support.planted import TOPICS, labelled
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.leaks import leaks
from symbiont.training.gate.shift import label_shift

CODES = {name: number for number, name in enumerate(sorted(TOPICS))}


def test_a_leaking_field_is_named() -> None:
    source = random.Random(0)
    rows = [
        replace(
            row,
            fields={
                "queue": f"Q{CODES[str(row.label)]}" if source.random() < 0.98 else "Q9",
                "code": CODES[str(row.label)] + 0.3 * source.random(),
                "customer": f"c{number}",
                "amount": source.random(),
                "branch": source.choice(["north", "south"]),
            },
        )
        for number, row in enumerate(labelled(400))
    ]
    # The words of the labels are in the texts, too.
    found = [leak for leak in leaks(rows, LabelKind.CLASS) if leak.kind != "LABEL_IN_TEXT"]
    assert {leak.name for leak in found} == {"queue", "code"}
    assert all(leak.accuracy > 0.95 and 0.2 < leak.majority < 0.3 for leak in found)


def test_a_number_may_be_as_large_as_it_likes() -> None:
    rows = [
        replace(row, fields={"amount": source}) for row, source in zip(labelled(40), [1e300, -1e39] * 20, strict=True)
    ]
    assert "amount" not in {leak.name for leak in leaks(rows, LabelKind.CLASS)}


def test_a_label_in_the_text_and_a_telling_edge_are_named() -> None:
    rows = [Row(f"[{str(row.label).upper()}] {row.text}", row.label) for row in labelled(200)]
    kinds = {(leak.kind, leak.name) for leak in leaks(rows, LabelKind.CLASS)}
    assert ("TEXT_EDGE", "beginning") in kinds
    assert ("TEXT_EDGE", "end") not in kinds


def test_rows_that_give_nothing_away() -> None:
    assert [leak for leak in leaks(labelled(400), LabelKind.CLASS) if leak.kind != "LABEL_IN_TEXT"] == []
    assert leaks([Row("a", 1.0)] * 30, LabelKind.NUMBER) == []
    assert leaks(labelled(8), LabelKind.CLASS) == []


def test_a_shifted_label_map_is_named() -> None:
    rows, other = labelled(300, seed=0), labelled(150, seed=9)
    assert label_shift(rows, other, LabelKind.CLASS) == []
    names = sorted(TOPICS)
    moved = {name: names[(place + 1) % len(names)] for place, name in enumerate(names)}
    shifted = [Row(row.text, moved[str(row.label)]) for row in other]
    found = label_shift(rows, shifted, LabelKind.CLASS)
    assert {(shift.label, shift.means) for shift in found} == {(moved[name], name) for name in names}
    assert all(shift.share > 0.9 for shift in found)


def test_of_empty_texts_nothing_is_learnt() -> None:
    rows = [Row("", label) for label in ("a", "b") for _ in range(6)]
    assert label_shift(rows, rows, LabelKind.CLASS) == []


def test_two_names_that_were_exchanged_are_named_alone() -> None:
    rows, other = labelled(300, seed=0), labelled(150, seed=9)
    moved = {"card": "loan", "loan": "card"}
    exchanged = [Row(row.text, moved.get(str(row.label), row.label)) for row in other]
    found = label_shift(rows, exchanged, LabelKind.CLASS)
    assert {(shift.label, shift.means) for shift in found} == {("card", "loan"), ("loan", "card")}
