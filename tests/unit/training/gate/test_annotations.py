"""Rows out to people and labels back, in every format; what was chosen for them."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

from support.planted import flipped, labelled
from symbiont.common.errors import InvalidArgument
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.annotations import AnnotationFormat, export, label
from symbiont.training.gate.choosing import choose
from symbiont.training.gate.results import Suggestion
from symbiont.training.gate.settings import Strategy, Suggest

DIGEST = "a" * 64
ROWS = [Row("one", "x", pair="1"), Row("two", "y"), Row("三", "x")]
SUGGESTED = [Suggestion(2, Strategy.UNCERTAIN, "y", 0.5), Suggestion(0, Strategy.DIVERSE)]
LS, JSONL, CSV = AnnotationFormat.LABEL_STUDIO, AnnotationFormat.JSONL, AnnotationFormat.CSV


def exported(format: AnnotationFormat, rows: list[Row] = ROWS, kind: LabelKind = LabelKind.CLASS, **more: Any) -> bytes:
    return b"".join(export(rows, kind, DIGEST, format, **more))


def test_tasks_for_label_studio_bring_what_was_suggested() -> None:
    tasks = json.loads(exported(LS, suggestions=SUGGESTED))
    assert [task["data"]["row"] for task in tasks] == [2, 0]
    assert tasks[0]["data"] | {"reason": ""} == {
        "text": "三", "row": 2, "dataset": DIGEST, "given": "x", "reason": "",
    }  # fmt: skip
    (prediction,) = tasks[0]["predictions"]
    assert prediction["score"] == 0.5
    assert prediction["result"] == [
        {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["y"]}}
    ]
    assert "predictions" not in tasks[1]
    assert tasks[1]["data"]["pair"] == "1"
    assert len(json.loads(exported(LS))) == 3


def annotated(tasks: list[dict[str, Any]], choices: dict[int, list[str]]) -> bytes:
    for task in tasks:
        task["annotations"] = [
            {"result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}]}
            for choice in choices.get(task["data"]["row"], [])
        ]
    return json.dumps(tasks).encode()


def test_labels_come_back_from_label_studio() -> None:
    tasks = json.loads(exported(LS))
    content = annotated(tasks, {0: ["y", "y", "x"], 1: ["x", "y"]})
    done = label(ROWS, LabelKind.CLASS, DIGEST, LS, content, only_labelled=False)
    assert [(row.label, row.origin) for row in done.rows] == [("y", 0), ("y", 1), ("x", 2)]
    assert {f.code: f.rows for f in done.findings} == {"LABELLED": (0,), "DISAGREEMENT": (1,), "SKIPPED": (2,)}
    assert done.changed == 1
    assert [r.origin for r in label(ROWS, LabelKind.CLASS, DIGEST, LS, content, only_labelled=True).rows] == [0]


def test_a_cancelled_annotation_is_none() -> None:
    tasks = json.loads(annotated(json.loads(exported(LS)), {0: ["y"]}))
    tasks[0]["annotations"][0]["was_cancelled"] = True
    done = label(ROWS, LabelKind.CLASS, DIGEST, LS, json.dumps(tasks).encode(), only_labelled=False)
    assert done.rows[0].label == "x"


@pytest.mark.parametrize("value", ["y", {"choices": ["y"]}, ["y"]])
def test_labels_come_back_from_json_min(value: object) -> None:
    content = json.dumps([{"id": 1, "row": 0, "dataset": DIGEST, "text": "one", "label": value}]).encode()
    assert label(ROWS, LabelKind.CLASS, DIGEST, LS, content, only_labelled=False).rows[0].label == "y"


@pytest.mark.parametrize("format", [CSV, JSONL])
def test_labels_come_back_from_tables(format: AnnotationFormat) -> None:
    content = exported(format, suggestions=SUGGESTED)
    if format is CSV:
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        assert (rows[0]["suggested"], rows[0]["probability"], rows[0]["given"]) == ("y", "0.5", "x")
        rows[0]["label"] = "y"
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        content = out.getvalue().encode()
    else:
        lines = [json.loads(line) for line in content.splitlines()]
        lines[0]["label"] = "y"
        content = "\n".join(map(json.dumps, lines)).encode()
    done = label(ROWS, LabelKind.CLASS, DIGEST, format, content, only_labelled=False)
    assert [row.label for row in done.rows] == ["x", "y", "y"]
    assert {f.code: f.rows for f in done.findings} == {"LABELLED": (2,), "SKIPPED": (0,)}


def test_marks_go_out_and_come_back() -> None:
    rows = [Row("Ann in Rome", ((0, 3, "P"), (7, 11, "C")))]
    tasks = json.loads(exported(LS, rows, LabelKind.ENTITIES))
    tasks[0]["annotations"] = [{"result": tasks[0]["predictions"][0]["result"][:1]}]
    done = label(rows, LabelKind.ENTITIES, DIGEST, LS, json.dumps(tasks).encode(), only_labelled=False)
    assert done.rows[0].label == ((0, 3, "P"),)


@pytest.mark.parametrize(
    ("content", "format", "message"),
    [
        (b"{", LS, "the file is not JSON"),
        (b"{}", LS, "not a JSON list"),
        (b"[]", LS, "no tasks"),
        (b"\xff", LS, "not UTF-8"),
        (b'[{"data": {"row": 3}}]', LS, "task 1 names no row"),
        (b'[{"data": {"text": "a"}}]', LS, "task 1 names no row"),
        (b'[{"data": {"row": 0, "dataset": "b"}}]', LS, "another version"),
        (b'{"row": 0, "label": [1]}', JSONL, "the label of row 0 is none of kind CLASS"),
        (b"[1]", JSONL, "line 1 is not a JSON object"),
        (b"a,b\n1,2\n", CSV, "columns row and label"),
        (b'row,label\n0,"x\n', CSV, "cannot be read as CSV"),
    ],
)
def test_a_bad_file_is_refused(content: bytes, format: AnnotationFormat, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        label(ROWS, LabelKind.CLASS, DIGEST, format, content, only_labelled=False)


@pytest.mark.parametrize("format", [CSV, JSONL])
def test_any_text_that_a_row_may_have_comes_back(format: AnnotationFormat) -> None:
    texts = ["one\u2028two", "a\u0085b\x1cc", "line\r\nbreak", "长" * 80_000]
    rows = [Row(text, "xy"[place % 2]) for place, text in enumerate(texts)]
    done = label(rows, LabelKind.CLASS, DIGEST, format, exported(format, rows), only_labelled=False)
    assert [(row.text, row.label) for row in done.rows] == [(row.text, row.label) for row in rows]
    assert [(finding.code, finding.count) for finding in done.findings] == [("SKIPPED", len(rows))]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (LabelKind.NUMBER, "1e999", "the label of row 0 is not a finite number"),
        (LabelKind.NUMBER, "NaN", "the label of row 0 is not a finite number"),
        (LabelKind.NUMBER, "9" * 400, "the label of row 0 is not a finite number"),
        (LabelKind.CLASS, '"\\ud800"', "not Unicode"),
        (LabelKind.CLASS, f'"{"x" * 257}"', "1 to 256 characters"),
        (LabelKind.CLASSES, '["\\ud800"]', "not Unicode"),
        (LabelKind.CLASSES, json.dumps([f"{n}" for n in range(1001)]), "more than 1000 parts"),
        (LabelKind.ENTITIES, f'[[0, 1, "{"x" * 257}"]]', "1 to 256 characters"),
    ],
)
def test_a_label_that_no_upload_may_have_is_refused(kind: LabelKind, value: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        label(ROWS, kind, DIGEST, JSONL, f'{{"row": 0, "label": {value}}}'.encode(), only_labelled=False)
    assert caught.value.field == "chunk"


def test_more_labels_than_an_upload_may_have_are_refused() -> None:
    rows = [Row(f"{n}", "x") for n in range(1001)]
    lines = "\n".join(json.dumps({"row": n, "label": f"label-{n}"}) for n in range(1001))
    with pytest.raises(InvalidArgument, match="there are 1001 labels, at most 1000"):
        label(rows, LabelKind.CLASS, DIGEST, JSONL, lines.encode(), only_labelled=False)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (LabelKind.ENTITIES, [[0, 99, "P"]]),
        (LabelKind.ENTITIES, [[0, 2, "P"], [1, 3, "P"]]),
        (LabelKind.NUMBER, True),
        (LabelKind.CLASSES, [1]),
    ],
)
def test_a_label_of_another_kind_is_refused(kind: LabelKind, value: object) -> None:
    content = json.dumps({"row": 0, "label": value}).encode()
    with pytest.raises(InvalidArgument, match=f"none of kind {kind}"):
        label(ROWS, kind, DIGEST, JSONL, content, only_labelled=False)


@pytest.mark.slow
def test_uncertain_and_suspect_rows_are_chosen_before_others() -> None:
    rows, wrong = flipped(labelled(800), 0.05)
    found = choose(rows, LabelKind.CLASS, Suggest(count=40, strategy=Strategy.SUSPECT))
    assert len({item.row for item in found} & wrong) >= 32
    mixed = choose(rows, LabelKind.CLASS, Suggest(count=30))
    assert len({item.row for item in mixed}) == len(mixed) == 30
    assert {item.reason for item in mixed} == {Strategy.UNCERTAIN, Strategy.SUSPECT, Strategy.DIVERSE}
    assert mixed == choose(rows, LabelKind.CLASS, Suggest(count=30))


def test_rows_without_labels_are_judged_by_others() -> None:
    rows = [Row(row.text) for row in labelled(60, seed=5)]
    doubtful = Row("my card and the loan and the transfer and the account")
    found = choose(
        [*rows, doubtful], LabelKind.NONE, Suggest(count=3, strategy=Strategy.UNCERTAIN), labelled=labelled(200)
    )
    assert found[0].row == 60
    assert found[0].label in {"card", "loan", "transfer", "account"}
    alone = choose(rows, LabelKind.NONE, Suggest(count=5))
    assert {item.reason for item in alone} == {Strategy.DIVERSE}
    assert len(alone) == 5


@pytest.mark.parametrize("strategy", [Strategy.UNCERTAIN, Strategy.DIVERSE])
def test_empty_texts_are_chosen_from_too(strategy: Strategy) -> None:
    rows = [Row("", name) for name in ("a", "b") for _ in range(6)]
    for others in ((), rows):
        found = choose(rows, LabelKind.CLASS, Suggest(strategy=strategy, count=2), others)
        assert [item.reason for item in found] == [strategy, strategy]


def test_diverse_rows_are_far_from_each_other() -> None:
    features = np.repeat(np.eye(4), 10, axis=0) + 1e-3
    found = choose([Row(str(n)) for n in range(40)], LabelKind.NONE, Suggest(count=4), features=features)
    assert {item.row // 10 for item in found} == {0, 1, 2, 3}
