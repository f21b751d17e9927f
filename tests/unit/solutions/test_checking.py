import json
from collections import Counter

import pytest

from symbiont.solutions.checking import read_sides
from symbiont.solutions.loading import RecipeError, find_recipe
from symbiont.solutions.promoting import rules_of
from symbiont.solutions.running import QUICK_LOOK, Run, check, quick_look

from .conftest import ROWS, Solution


def said(solution: Solution) -> str:
    with pytest.raises(RecipeError) as caught:
        check(Run(solution.load(), solution.folder, solution.folder / "out"))
    assert not (solution.folder / "out").exists()
    return str(caught.value)


def test_rows_are_read_and_kept_apart(solution: Solution) -> None:
    sides = read_sides(solution.load(), solution.folder)
    assert [(row.text, row.label) for row in sides.train] == [(text, label) for text, label, _ in ROWS]
    assert [row.slices for row in sides.test] == [{"language": language} for _, _, language in ROWS]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("train.csv", "gone.csv", ["solution.yaml:6: data.train.0.file:", "gone.csv does not exist", "--data"]),
        (
            "column: label",
            "column: verdict",
            ["solution.yaml:9: data.label.column:", "no column 'verdict'", "it has text"],
        ),
        (
            "map: {good: good, bad: bad}",
            "map: {good: good}",
            ["solution.yaml:10: data.label.map: the label 'bad' (train.csv, row 3)", "add a line"],
        ),
        ("slices: [language]", "slices: [language, age]", ["solution.yaml:11: data.slices.1:", "no column 'age'"]),
        (
            "slices: [language]",
            "fields: {language: number}",
            ["data.fields.language: train.csv, row 2: 'en' is no number: say category"],
        ),
        (
            "{file: train.csv}",
            "{file: train.csv, where: {language: [fr]}}",
            ["data.train.0.file: no row is left: look at `where`"],
        ),
        ("slices: [language]", "text: '{title} {text}'", ["data.text: train.csv has no column 'title'"]),
        (
            "slices: [language]",
            "fields: {language: category}\nevaluation: {baselines: [overlap]}",
            ["evaluation.baselines: overlap is none of this task's: say majority"],
        ),
        (
            "slices: [language]",
            "slices: []\ntask: {head: spans, balanced: true}",
            ["balanced does not belong to the head spans"],
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(solution: Solution, old: str, new: str, words: list[str]) -> None:
    solution.change(old, new)
    found = said(solution)
    for word in words:
        assert word in found, found


def test_a_class_that_is_judged_must_have_been_learnt(solution: Solution) -> None:
    solution.table("train", [row for row in ROWS if row[1] == "good"])
    assert "'bad' is judged and never learnt: add rows of it to `train`" in said(solution)


def test_what_is_rejected_need_not_have_been_learnt(solution: Solution) -> None:
    solution.table("train", [row for row in ROWS if row[1] == "good"])
    solution.change("  slices: [language]", "serving: {reject: {label: bad, below: 0.5}}")
    assert len(read_sides(solution.load(), solution.folder).test) == 4


def test_rows_that_cannot_be_divided_are_refused(solution: Solution) -> None:
    solution.change("  test: [{file: test.csv}]", "  split: {test_fraction: 0.01}")
    assert "data.split: 4 rows leave one side empty: give more rows" in said(solution)


def test_a_label_may_be_dropped(solution: Solution) -> None:
    solution.change("map: {good: good, bad: bad}", "map: {good: fine}\n    drop: [bad]")
    sides = read_sides(solution.load(), solution.folder)
    assert {row.label for row in sides.train} == {"fine"}


def test_a_quick_look_keeps_both_ends_of_a_file(solution: Solution) -> None:
    sides = read_sides(solution.load(), solution.folder, 2)
    assert [row.text for row in sides.train] == [ROWS[0][0], ROWS[2][0]]


def test_a_quick_look_at_many_classes_takes_some_rows_of_a_few(solution: Solution) -> None:
    rows = [(f"text {place}", f"class{place % 50}", "en") for place in range(400)]
    solution.table("train", rows)
    solution.table("test", rows[:50])
    solution.change("\n    map: {good: good, bad: bad}", "")
    sides = read_sides(solution.load(), solution.folder, 40)
    counts = Counter(row.label for row in sides.train)
    assert set(counts.values()) == {4}
    assert len(counts) == 10
    assert {row.label for row in sides.test} == set(counts)


def test_a_file_that_is_no_table_is_said(solution: Solution) -> None:
    (solution.folder / "train.csv").write_text("text,label,language\nonly one cell\n", encoding="utf-8")
    assert "row 2: it has not as many cells as the header" in said(solution)
    (solution.folder / "train.csv").write_bytes(b"text,label,language\n\xff\xfe,good,en\n")
    assert "train.csv is no table in UTF-8" in said(solution)


def test_a_quick_look_serves_apart_and_asks_no_gate() -> None:
    for name in ("credit-risk", "customer-answers"):
        located = find_recipe(name)
        looked = quick_look(located).recipe
        assert looked.serving.alias == QUICK_LOOK
        assert looked.serving.release is None
        assert rules_of(looked.evaluation.gate) == []
        assert looked.data == located.recipe.data
    assert looked.serving.catalogue
    assert looked.serving.catalogue.id == f"customer-answers-{QUICK_LOOK}"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            [{"start": 1, "text": "gut"}],
            "answers.jsonl, row 1: its answer 'gut' does not stand at 1 of its context: mend",
        ),
        ("gut", "answers.jsonl, row 1: answers are a list of objects with `start` and `text`"),
        ([{"start": 1}], "answers.jsonl, row 1: answers are a list of objects"),
    ],
)
def test_answers_that_stand_elsewhere_are_named(solution: Solution, answers: object, words: str) -> None:
    row = {"question": "how?", "context": "gut so", "answers": answers}
    (solution.folder / "answers.jsonl").write_text(json.dumps(row), encoding="utf-8")
    solution.change("{file: train.csv}", "{file: answers.jsonl}")
    solution.change("  test: [{file: test.csv}]\n", "  text: question\n  pair: context\n")
    solution.change(
        "    column: label\n    map: {good: good, bad: bad}\n  slices: [language]\n",
        "    {column: answers, kind: answers}\n",
    )
    solution.recipe(solution.path.read_text(encoding="utf-8") + "task: {head: spans}\n")
    assert words in said(solution)


def test_rows_without_a_text_are_named(solution: Solution) -> None:
    solution.table("train", [*ROWS, ("  ", "bad", "en")])
    assert "data.text: train.csv, row 6: it is empty: mend it, or name the row in `without`" in said(solution)
    solution.change("train: [{file: train.csv}]", "train: [{file: train.csv, without: [6]}]")
    assert len(read_sides(solution.load(), solution.folder).train) == 4


LINE = {"text": "a great day", "label": "good", "language": "en", "n": 1, "who": "w"}


def lines(solution: Solution, *changed: dict[str, object]) -> None:
    """Makes the rows to learn from JSONL: two that are right, then these; a key of ... is left out."""
    rows = [LINE, {**LINE, "text": "an awful one", "label": "bad"}, *({**LINE, **one} for one in changed)]
    kept = [{name: value for name, value in row.items() if value is not ...} for row in rows]
    (solution.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, kept)), encoding="utf-8")
    solution.change("train: [{file: train.csv}]", "train: [{file: rows.jsonl}]")
    solution.change(
        "  test: [{file: test.csv}]\n", "  fields: {n: number}\n  group: who\n  split: {test_fraction: 0.5}\n"
    )


@pytest.mark.parametrize("name", ["text", "label", "n", "language", "who"])
def test_a_row_of_jsonl_without_a_key_is_named(solution: Solution, name: str) -> None:
    lines(solution, {}, {name: ...})
    assert f"rows.jsonl, row 4: it has no {name!r}: add it, or name the row in `without`" in said(solution)


def test_null_is_an_empty_cell(solution: Solution) -> None:
    nothing: dict[str, object] = {"language": None, "n": None, "who": None}
    lines(solution, nothing, {**nothing, "label": "bad"})
    sides = read_sides(solution.load(), solution.folder)
    found = [(row.slices["language"], row.group, dict(row.fields)) for row in (*sides.train, *sides.test)]
    assert sorted(found, key=str).count(("", "", {})) == 2
    assert "None" not in str(found)
    with (solution.folder / "rows.jsonl").open("a") as stream:
        stream.write("\n" + json.dumps({**LINE, "text": None}))
    assert "data.text: rows.jsonl, row 5: it is empty" in said(solution)


def test_a_chart_counts_a_label_that_is_learnt(solution: Solution) -> None:
    solution.change("slices: [language]", "slices: []\nmonitoring: {chart: {label: Bad}}")
    assert "monitoring.chart.label: 'Bad' is no label of the rows to learn from: say one of bad, good" in said(solution)
    solution.change("label: Bad", "label: bad")
    assert read_sides(solution.load(), solution.folder).train


def test_dates_are_dates(solution: Solution) -> None:
    solution.table("train", [(text, label, "2024-01-31") for text, label, _ in ROWS])
    solution.change("slices: [language]", "fields: {language: date}")
    assert "data.fields.language: test.csv, row 2: 'en' is no date: say category" in said(solution)


def test_a_file_is_no_folder(solution: Solution) -> None:
    with pytest.raises(RecipeError, match=r"train\.csv is a file: name its folder with --data"):
        read_sides(solution.load(), solution.folder / "train.csv")
