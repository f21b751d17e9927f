"""Labels of every kind, pairs and business fields: taken as they are, or refused by row before anything is stored."""

from typing import Any

import pytest

from support.registry import upload_rows
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training.data.header import Header
from symbiont.training.data.rows import Row, read_rows


def rows_of(artifacts: ArtifactStore, *rows: dict[str, Any], **header: Any) -> list[Row]:
    return list(read_rows(artifacts, upload_rows(artifacts, rows, "rows", **header).digest))


def test_labels_that_each_hold(artifacts: ArtifactStore) -> None:
    given = [{"text": "a", "label": ["y", "x", "y"]}, {"text": "b", "label": []}, {"text": "c", "label": "z|x"}]
    dataset = upload_rows(artifacts, [*given, {"text": "d", "label": '["x"]'}], "rows", label_kind="CLASSES")
    assert [row.label for row in read_rows(artifacts, dataset.digest)] == [("x", "y"), (), ("x", "z"), ("x",)]
    assert dataset.label_counts == (("x", 3), ("y", 1), ("z", 1))


def test_numbers(artifacts: ArtifactStore) -> None:
    given = [{"text": "a", "label": 1}, {"text": "b", "label": "-2.5"}]
    dataset = upload_rows(artifacts, given, "rows", label_kind="NUMBER")
    assert (dataset.label_range, dataset.label_counts) == ((-2.5, 1.0), ())
    assert [row.label for row in read_rows(artifacts, dataset.digest)] == [1.0, -2.5]


def test_parts_of_a_text_in_its_order(artifacts: ArtifactStore) -> None:
    marks = [{"start": 3, "end": 5, "label": "LOC"}, {"start": 0, "end": 2, "label": "PER"}]
    (row,) = rows_of(artifacts, {"text": "小明在北京", "label": marks}, label_kind="ENTITIES")
    assert row.label == ((0, 2, "PER"), (3, 5, "LOC"))


def test_answers_stand_in_the_context(artifacts: ArtifactStore) -> None:
    given = {"text": "q", "pair": "at nine", "label": [{"start": 3, "text": "nine"}]}
    rows = rows_of(artifacts, given, {**given, "label": []}, label_kind="ANSWERS", pair_column="pair")
    assert [(row.label, row.pair) for row in rows] == [(((3, 7),), "at nine"), ((), "at nine")]


def test_pairs_without_labels(artifacts: ArtifactStore) -> None:
    (row,) = rows_of(artifacts, {"text": "a", "pair": "b"}, label_kind="NONE", pair_column="pair")
    assert (row.text, row.pair, row.label) == ("a", "b", None)


def test_business_fields(artifacts: ArtifactStore) -> None:
    fields = (("age", "NUMBER"), ("phone", "FLAG"), ("job", "CATEGORY"), ("since", "DATE"))
    full = {"text": "a", "label": "x", "age": "31", "phone": "Yes", "job": 7, "since": "2026-01-31"}
    none = {"text": "b", "label": "y", "age": None, "phone": "", "job": None, "since": None}
    header = {"fields": fields, "group_column": "job", "time_column": "since", "subject_column": "age"}
    one, other = rows_of(artifacts, full, none, **header)
    assert one.fields == {"age": 31.0, "phone": True, "job": "7", "since": "2026-01-31"}
    assert (one.group, one.time, one.subject) == ("7", "2026-01-31", "31")
    assert (other.fields, other.group, other.time, other.subject) == ({}, "", "", "")


ENTITIES, ANSWERS = {"label_kind": "ENTITIES"}, {"label_kind": "ANSWERS", "pair_column": "pair"}


@pytest.mark.parametrize(
    ("label", "header", "problem"),
    [
        ("x", {"label_kind": "NUMBER"}, "the label of row 1 is not a finite number"),
        ("nan", {"label_kind": "NUMBER"}, "not a finite number"),
        (True, {"label_kind": "CLASSES"}, "is not a list"),
        ("[1", {"label_kind": "CLASSES"}, "not a JSON list"),
        ([{"start": 0, "end": 9, "label": "A"}], ENTITIES, "from 0 to 9, its text has 4 characters"),
        ([{"start": 2, "end": 2, "label": "A"}], ENTITIES, "from 2 to 2"),
        ([{"start": "0", "end": 2, "label": "A"}], ENTITIES, "no 'start' that is a whole number"),
        ([{"start": 0, "end": 2}], ENTITIES, "row 1 has no label"),
        (["A"], ENTITIES, "no 'start'"),
        ([{"start": 0, "end": 2, "label": "A"}, {"start": 1, "end": 3, "label": "B"}], ENTITIES, "overlap"),
        ([{"start": 1, "text": "nine"}], ANSWERS, "does not stand at 1 of its context"),
        ([{"start": 0, "text": ""}], ANSWERS, "an answer of row 1 has no text"),
    ],
)
def test_what_is_no_label_is_refused(
    artifacts: ArtifactStore, label: Any, header: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        rows_of(artifacts, {"text": "text", "pair": "nine", "label": label}, **header)
    assert artifacts.list("datasets") == []


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("NUMBER", "many", "the age of row 1 is not a finite number"),
        ("FLAG", "perhaps", "age of row 1 is neither true nor false"),
        ("DATE", "31.01.2026", "age of row 1 is not a date or time"),
        ("CATEGORY", ["a"], "the age of row 1 is neither text nor a number"),
    ],
)
def test_what_is_no_value_of_a_field_is_refused(artifacts: ArtifactStore, kind: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        rows_of(artifacts, {"text": "a", "label": "x", "age": value}, fields=(("age", kind),))


def test_where_there_is_nothing_to_learn(artifacts: ArtifactStore) -> None:
    for label, kind, problem in (([], "CLASSES", "no row has any label"), (2, "NUMBER", "every row has the label 2")):
        with pytest.raises(InvalidArgument, match=problem):
            rows_of(artifacts, {"text": "a", "label": label}, {"text": "b", "label": label}, label_kind=kind)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"label_kind": "9"}, "label_kind"),
        ({"label_kind": "ANSWERS"}, "pair_column"),
        ({"pair_column": "text"}, "pair_column"),
        ({"fields": (("label", "NUMBER"),)}, r"fields\[0\].name"),
        ({"fields": (("age", "9"),)}, r"fields\[0\].kind"),
        ({"fields": (("", "NUMBER"),)}, r"fields\[0\].name"),
        ({"fields": tuple((f"f{i}", "NUMBER") for i in range(65))}, "fields"),
    ],
)
def test_a_header_that_cannot_be_is_refused(header: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^header\.dataset\.{field}"):
        Header("rows", "CSV", "", "", **header).checked()


def test_a_column_that_is_not_there_is_named(artifacts: ArtifactStore) -> None:
    with pytest.raises(InvalidArgument, match=r"^header.dataset.fields\[0\].name: .* has no column 'age'"):
        rows_of(artifacts, {"text": "a", "label": "x"}, fields=(("age", "NUMBER"),))
