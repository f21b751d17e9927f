"""Planted faults in labels are found."""

import numpy as np

from support.planted import TOPICS, flipped, labelled, nearly
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.findings import numbered
from symbiont.training.gate.settings import DropSuspects
from symbiont.training.gate.suspects import disagreements, drop_suspects, suspects


def test_most_of_five_percent_flipped_labels_are_among_the_first() -> None:
    rows, wrong = flipped(labelled(1200), 0.05)
    found = suspects(rows, LabelKind.CLASS)
    first = {suspect.row for suspect in found[: len(wrong)]}
    recall = len(first & wrong) / len(wrong)
    print(f"of {len(wrong)} flipped labels {recall:.0%} are among the first {len(wrong)} of {len(found)} suspects")
    assert recall >= 0.8
    right = labelled(1200)
    assert np.mean([s.suggested == right[s.row].label for s in found if s.row in wrong]) >= 0.9


def test_features_of_the_caller_serve_too() -> None:
    rows, wrong = flipped(labelled(300), 0.05)
    names = sorted(TOPICS)
    source = np.random.default_rng(0)
    truth = np.array([names.index(str(row.label)) for row in labelled(300)])
    features = np.eye(len(names))[truth] + 0.1 * source.normal(size=(300, len(names)))
    first = {s.row for s in suspects(rows, LabelKind.CLASS, features=features)[: len(wrong)]}
    assert len(first & wrong) >= 0.9 * len(wrong)


def test_near_rows_that_disagree_are_suspect() -> None:
    rows = labelled(100)
    other = Row(nearly(rows[4], 0).text, "loan")
    assert disagreements([*rows, other]) == {4: 100, 100: 4}
    found = {s.row: s.near for s in suspects([*rows, other], LabelKind.CLASS)}
    assert (found[4], found[100]) == (100, 4)


def test_labels_that_are_no_classes_and_rare_ones_are_left_alone() -> None:
    assert suspects([Row("a", 1.0), Row("b", 2.0)], LabelKind.NUMBER) == []
    rows = [*labelled(40), Row("the only one", "alone")]
    assert all(suspect.given != "alone" for suspect in suspects(rows, LabelKind.CLASS))


def test_empty_texts_are_judged_too() -> None:
    rows = [Row("", name) for name in ("a", "b") for _ in range(6)]
    assert all(rows[suspect.row].label in {"a", "b"} for suspect in suspects(rows, LabelKind.CLASS))


def test_the_most_suspect_go_up_to_a_share() -> None:
    rows, wrong = flipped(labelled(400), 0.05)
    outcome = drop_suspects(numbered(rows), LabelKind.CLASS, DropSuspects(max_fraction=0.02))
    (finding,) = outcome.findings
    assert (finding.code, finding.count, len(outcome.rows)) == ("SUSPECT", 8, 392)
    assert set(finding.rows) <= wrong
