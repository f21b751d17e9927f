"""Rows are stored as they are, with nothing for what they do not have."""

import json

import pytest

from symbiont.training.data.rows import Label, Row, row_from_json, row_to_line

LABELS: list[Label] = [None, "good", 0.25, (), ("a", "b"), ((0, 2, "PER"), (3, 4, "ORG")), ((0, 2), (3, 4))]


@pytest.mark.parametrize("label", LABELS, ids=repr)
def test_a_row_comes_back_whatever_its_label_is(label: Label) -> None:
    row = Row("王 a", label, "second", {"age": 3.0, "phone": False, "job": "x"}, "g", "2026-01-02", "s1", 0)
    assert row_from_json(json.loads(row_to_line(row))) == row


def test_what_a_row_does_not_have_takes_no_bytes() -> None:
    assert row_to_line(Row("a", "b")) == b'{"label":"b","text":"a"}\n'
    assert row_to_line(Row("a")) == b'{"text":"a"}\n'
