import json
from pathlib import Path

import pytest

from symbiont.client import Pair, QuestionContext, Text
from symbiont.solutions.reading import Record, UnreadableError, columns_of, fill, read
from symbiont.solutions.recipe_rows import Data, Label, Source, Split
from symbiont.solutions.rows import SolutionRow, columns_of_dataset, rows_of, value_of, write
from symbiont.solutions.splitting import SplitError, split
from symbiont.training.data.cells import FLAGS


def row_of(columns: dict[str, object], **data: object) -> SolutionRow:
    (row,) = rows_of(Data(train=(Source(file="x.csv"),), **data), [Record(columns, "x.csv", 2)])  # type: ignore[arg-type]
    return row


def test_templates_put_columns_together() -> None:
    columns = {"title": "Heat", "genres": "Crime"}
    assert fill("{title}. {genres}", columns) == "Heat. Crime"
    assert columns_of("{title}. {genres}") == ["title", "genres"]
    assert fill("title", columns) == "Heat"


def test_fields_are_of_their_kind_and_missing_ones_are_left_out() -> None:
    columns = {"text": "a", "label": "x", "amount": "12.5", "new": "Yes", "kind": "car", "age": ""}
    kinds = {"amount": "number", "new": "flag", "kind": "category", "age": "number"}
    assert row_of(columns, fields=kinds).fields == {"amount": 12.5, "new": True, "kind": "car"}


@pytest.mark.parametrize(("raw", "value"), [("1.0", True), (" YES", True), (True, True), ("0", False), ("No", False)])
def test_flags_are_read_as_the_service_reads_them(raw: object, value: bool) -> None:
    assert value_of("flag", raw) is value
    assert FLAGS[str(raw).strip().lower()] is value


@pytest.mark.parametrize("raw", ["Y", "maybe", "2", "是"])
def test_what_is_no_flag_is_not_taken_for_false(raw: str) -> None:
    with pytest.raises(ValueError, match="is no flag: true, yes"):
        value_of("flag", raw)


@pytest.mark.parametrize(
    ("kind", "raw", "label"),
    [("class", "a", "a"), ("classes", "a|b", ["a", "b"]), ("number", "2.5", 2.5), ("none", "a", None)],
)
def test_labels_are_of_their_kind(kind: str, raw: str, label: object) -> None:
    assert row_of({"text": "t", "label": raw}, label=Label(kind=kind)).label == label  # type: ignore[arg-type]


def test_a_row_is_asked_as_its_head_takes_it() -> None:
    row = SolutionRow("q", "c", fields={"a": 1.0})
    assert row.asked("spans") == QuestionContext("q", "c")
    assert row.asked("classification") == Pair("q", "c", {"a": 1.0})
    assert SolutionRow("t").asked("score") == Text("t")


def test_squad_is_read_with_its_answers(tmp_path: Path) -> None:
    asked = {"id": "1", "question": "谁?", "answers": [{"answer_start": 2, "text": "王"}]}
    article = {"title": "T", "paragraphs": [{"context": "他是王", "qas": [asked]}]}
    (tmp_path / "q.json").write_text(json.dumps({"data": [article]}), encoding="utf-8")
    source = Source(file="q.json", layout="squad", set={"language": "zh"})
    (record,) = read(tmp_path, source)
    assert record.columns["answers"] == [{"start": 2, "text": "王"}]
    assert record.columns["language"] == "zh"


def test_an_answer_that_stands_beside_its_place_is_found(tmp_path: Path) -> None:
    answers = [{"answer_start": start, "text": text} for start, text in ((3, "王"), (0, "王"), (0, "是"), (7, "他"))]
    asked = {"id": "1", "question": "谁?", "answers": answers}
    article = {"title": "T", "paragraphs": [{"context": "他是王", "qas": [asked]}]}
    (tmp_path / "q.json").write_text(json.dumps({"data": [article]}), encoding="utf-8")
    (record,) = read(tmp_path, Source(file="q.json", layout="squad"))
    # The last is too far off, and is refused with its row.
    assert [one["start"] for one in record.columns["answers"]] == [2, 2, 1, 7]


def test_spaces_before_a_context_stay_since_places_are_counted_from_them() -> None:
    columns = {"text": " 谁? ", "pair": " 他是王 ", "label": [{"start": 3, "text": "王"}]}
    row = row_of(columns, pair="pair", label=Label(kind="answers"))
    assert (row.text, row.pair) == ("谁?", " 他是王 ")
    assert row_of({**columns, "label": "a"}, pair="pair", label=Label(kind="class")).pair == "他是王"


def test_what_is_written_is_what_the_service_is_told(tmp_path: Path) -> None:
    data = Data(train=(Source(file="x"),), pair="p", fields={"n": "number"}, group="g", label=Label(kind="class"))
    path = write([SolutionRow("文", "p", "a", {"n": 2.0}, {"secret": "x"}, "g1")], tmp_path / "rows.jsonl")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "text": "文", "pair": "p", "label": "a", "n": 2.0, "group_": "g1",
    }  # fmt: skip
    columns = columns_of_dataset(data)
    assert columns == {
        "label_kind": "class", "fields": {"n": "number"}, "label_column": "label", "pair_column": "pair",
        "group_column": "group_",
    }  # fmt: skip


ROWS = [SolutionRow(f"text {i}", label="ab"[i % 2], group=f"g{i // 4}", time=f"2024-01-{i + 1:02}") for i in range(20)]


def test_each_class_has_its_share_on_both_sides() -> None:
    train, test = split(ROWS, Split(test_fraction=0.2))
    assert sorted(row.label for row in test) == ["a", "a", "b", "b"]
    assert len(train) == 16
    assert split(ROWS, Split(test_fraction=0.2))[1] == test
    assert split(ROWS, Split(test_fraction=0.2, seed=1))[1] != test


def test_groups_stay_together() -> None:
    train, test = split(ROWS, Split(test_fraction=0.4, by="group"))
    assert {row.group for row in train}.isdisjoint({row.group for row in test})
    assert len(test) == 8


def test_the_latest_rows_judge() -> None:
    train, test = split(ROWS[::-1], Split(test_fraction=0.25, by="time"))
    assert min(row.time for row in test) > max(row.time for row in train)
    assert len(test) == 5


def test_a_class_that_only_judges_is_refused() -> None:
    rows = [
        *(SolutionRow(f"{i}", label="a", time=f"2024-01-0{i}") for i in range(1, 5)),
        SolutionRow("x", label="b", time="2025-01-01"),
    ]
    with pytest.raises(SplitError, match="no row of 'b' is left to learn from"):
        split(rows, Split(test_fraction=0.2, by="time"))


def test_rows_have_numbers_by_which_some_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\na,x\nb,x\nc,y\n", encoding="utf-8")
    found = list(read(tmp_path, Source(file="x.csv", without=(3,))))
    assert [(one.columns["row"], one.columns["text"]) for one in found] == [(2, "a"), (4, "c")]
    # A column of that name in the file is the file's.
    (tmp_path / "y.csv").write_text("text,row\na,seven\n", encoding="utf-8")
    assert [one.columns["row"] for one in read(tmp_path, Source(file="y.csv"))] == ["seven"]


def test_named_parts_are_mapped_and_dropped() -> None:
    label = Label(column="tags", kind="entities", words="words", map={"place": "where", "time": "when"}, drop=("x",))
    columns = {"text": " in Rome today ", "tags": "O B-place B-time", "words": "in Rome today"}
    assert row_of(columns, label=label).label == [
        {"start": 3, "end": 7, "label": "where"}, {"start": 8, "end": 13, "label": "when"},
    ]  # fmt: skip
    assert row_of({**columns, "tags": "O B-x O"}, label=label).label == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        # Up to the next quote of the file it would all be one cell.
        ("x.tsv", 'text\tlabel\n"Oh, it is good\t1\nbad\t0\nno "good" at all\t0\n', "is no table"),
        ("x.tsv", 'text\tlabel\n"Oh\t1\nbad\t0\ngood"\t1\n', "row 2: a quote that is not closed"),
        ("x.csv", 'text,label\n"Oh, it is good,1\nbad,0\n', "is no table"),
    ],
)
def test_a_quote_that_is_not_closed_swallows_no_rows(name: str, text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableError, match=problem):
        list(read(tmp_path, Source(file=name)))


def test_cells_of_several_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,label\n"one, and\nanother",1\n', encoding="utf-8")
    (found,) = read(tmp_path, Source(file="x.csv"))
    assert found.columns["text"] == "one, and\nanother"
