from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from support.outcomes import classified, multi_labelled, scored
from symbiont.evaluation import Sampling, compare, judge_calibration, slice_table
from symbiont.evaluation.drawing import confusion, intervals, pictures
from symbiont.evaluation.drawing.svg import Drawing, shortened, ticks, width_of
from symbiont.evaluation.figures import Confusion
from symbiont.evaluation.metrics import classification
from symbiont.evaluation.words import EN, ZH

FEW = Sampling(60)
SVG = "{http://www.w3.org/2000/svg}"


def read(picture: str) -> ElementTree.Element:
    root = ElementTree.fromstring(picture)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for part in root.iter():
        for name, limit in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height), ("cy", height)):
            if part.get(name) is not None:
                assert -1 <= float(part.get(name, 0)) <= limit + 1, ElementTree.tostring(part)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "prefers-color-scheme:dark" in (root.find(f"{SVG}style").text or "")  # type: ignore[union-attr]
    return root


def words(root: ElementTree.Element) -> list[str]:
    return [part.text or "" for part in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("phrases", [EN, ZH], ids=["en", "zh"])
def test_reliability(phrases) -> None:
    for outcome in (classified(500), multi_labelled(300)):
        found = judge_calibration(outcome)
        assert found is not None
        root = read(pictures.reliability(found, phrases))
        assert len(list(root.iter(f"{SVG}circle"))) == 30
        assert phrases.say("before_label") in words(root)


def test_curves_are_told_apart_without_colour() -> None:
    root = read(pictures.precision_recall(classification.curves(classified(400)), EN))
    dashes = [part.get("stroke-dasharray") for part in root.iter(f"{SVG}polyline")]
    assert len(dashes) == len(set(dashes)) == 3
    assert {"no", "yes", "maybe"} <= set(words(root))


def test_numbers() -> None:
    outcome = scored(50)
    points = list(zip(outcome.truth.tolist(), outcome.predicted.tolist(), strict=True))
    assert len(list(read(pictures.scatter(points, EN)).iter(f"{SVG}circle"))) == 50
    read(pictures.scatter([(3.0, 3.0)], EN))
    read(pictures.scatter([(0.0, 0.0)], EN))


def test_slices_stand_below_each_other() -> None:
    outcome = classified(300)
    table = slice_table(outcome, sampling=FEW)
    root = read(intervals.slices(table, 0.6, EN))
    heights = [float(part.get("cy", 0)) for part in root.iter(f"{SVG}circle")]
    assert heights == sorted(set(heights))
    assert len(heights) == len([row for row in table if row.rows >= intervals.LEAST_ROWS])
    assert "60.0%" in words(root)
    assert any("长度" in word for word in words(read(intervals.slices(table, 0.6, ZH))))


def test_the_largest_fall_comes_first() -> None:
    outcome = classified(300)
    other = replace(outcome, logits=np.random.default_rng(0).permutation(outcome.logits))
    found = compare(outcome, other.take(np.arange(200)), FEW)
    kept = [part for part in found.slices if part.rows >= intervals.LEAST_ROWS]
    names = {f"{EN.slice(part.name)}: {part.value}": part.difference.gain.value for part in kept}
    shown = [names[word] for word in words(read(intervals.gains(found, EN))) if word in names]
    assert list(names.values()) != sorted(names.values()) == shown


def test_classes() -> None:
    outcome = classified(300, ("a", "b", "a very long name of a class that nobody reads to its end"))
    matrix = classification.confusion_matrix(outcome).tolist()
    root = read(confusion.heat_map(outcome.labels, matrix, EN))
    assert str(matrix[0][0]) in words(root)
    assert any(word.endswith("…") for word in words(root))
    many = [Confusion(truth=f"t{i}", predicted="p", rows=100 - i) for i in range(40)]
    assert len(list(read(confusion.pairs(many, ZH)).iter(f"{SVG}rect"))) == 16


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 4.1), (0.71, 0.7312), (-20, 3000), (1e-5, 2e-5)])
def test_ticks_are_round_and_few(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert low <= found[0]
    assert found[-1] <= high
    assert len({f"{value:g}" for value in found}) == len(found)


def test_what_is_written_is_escaped() -> None:
    drawing = Drawing(100, 100, "<t>", '"a" & b')
    drawing.text(1, 2, "<script>", fill='"')
    root = read(str(drawing))
    assert words(root) == ["<script>"]
    assert root.get("aria-label") == '"a" & b'


def test_a_long_text_is_cut() -> None:
    assert shortened("short", 100) == "short"
    assert width_of(shortened("很长的名字" * 10, 100)) <= 110
