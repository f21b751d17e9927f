"""What a table is about is found out from its cells, and the recipe that is made of it is right at once."""

import csv
import json
from pathlib import Path

import pytest

from symbiont.cli.app import main
from symbiont.common.errors import InvalidArgument
from symbiont.solutions.checking import read_sides
from symbiont.solutions.guessing import guess
from symbiont.solutions.loading import find_recipe
from symbiont.solutions.scaffold import scaffold

TEXTS = ("the card was charged twice", "when does it arrive", "the app is far too slow", "who sees my account")


def table(folder: Path, header: str, rows: list[tuple[str, ...]], name: str = "rows.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header.split(), *rows])
    return path


def reviews(folder: Path, *more: tuple[str, ...], count: int = 40) -> Path:
    rows = [
        (str(n), f"{TEXTS[n % 4]} {n}", ("bad", "no")[n % 2], str(n * 1.5), ("en", "de")[n % 2]) for n in range(count)
    ]
    return table(folder, "id body verdict amount lang", [*rows, *more])


def test_columns_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    found = guess(reviews(tmp_path))
    assert (found.text, found.label, found.language) == ("body", "verdict", "en")
    assert found.classes == {"bad": 20, "no": 20}
    assert (found.max_tokens, found.slices) == (32, ("lang",))
    # What numbers the rows is no field.
    assert found.fields == {"amount": "number"}


def test_a_column_that_is_called_so_is_the_label(tmp_path: Path) -> None:
    rows = [(f"{TEXTS[n % 4]} {n}", str(n % 2), str(n % 5)) for n in range(60)]
    found = guess(table(tmp_path, "text flag Category", rows))
    assert found.label == "Category"
    # The first text of a pair comes again and again: what is said of it is the text.
    rows = [(f"{TEXTS[n % 2]} as it is meant, at length", f"answer {n}", "ab"[n % 2]) for n in range(60)]
    assert guess(table(tmp_path, "reference answer label", rows)).text == "answer"
    assert guess(table(tmp_path, "reference answer label", rows), text="reference").text == "reference"


@pytest.mark.parametrize(("letters", "cut"), [(10, 32), (60, 64), (150, 128), (900, 256)])
def test_chinese_asks_for_a_base_that_knows_it(tmp_path: Path, letters: int, cut: int) -> None:
    rows = [("很好" * (letters // 2) + str(n), "好坏"[n % 2]) for n in range(20)]
    found = guess(table(tmp_path, "text label", rows))
    assert (found.language, found.max_tokens) == ("mixed", cut)
    made = scaffold("chinese", tmp_path, found=found, files=[tmp_path / "rows.csv"])
    assert find_recipe(str(made)).recipe.base.id == "e5-small"


def test_what_is_made_is_right_at_once(tmp_path: Path) -> None:
    path = reviews(tmp_path, ("40", "", "bad", "1", "en"), ("41", "nothing said", "", "1", "en"))
    made = scaffold("complaints", tmp_path, found=guess(path), files=[path])
    located = find_recipe(str(made))
    sides = read_sides(located, tmp_path)
    assert (len(sides.train), len(sides.test)) == (32, 8)
    assert "left out, for want of a text or a label: lines 42, 43 of the file" in list(guess(path).said())
    assert located.recipe.summary == "Says of a text like those of rows.csv which of 2 it is: bad, no."
    # What YAML would take for false is a name.
    assert located.recipe.data.label.map == {"bad": "bad", "no": "no"}
    assert located.recipe.data.train[0].without == (42, 43)
    assert located.recipe.data.slices == ("lang",)


def test_a_class_of_one_row_is_said(tmp_path: Path) -> None:
    said = list(guess(reviews(tmp_path, ("40", "nothing like it", "odd", "1", "en"))).said())
    assert "of one row each, which cannot be learnt and judged: odd: name them in `drop`" in said


def test_names_of_all_kinds_survive(tmp_path: Path) -> None:
    names = ["a: b", "#1", "- x", "null", "很好", 'say "so"', "5"]
    rows = [(f"{TEXTS[n % 4]} {n}", names[n % len(names)]) for n in range(70)]
    path = table(tmp_path, "text:  label", rows, "my rows: all.csv")
    made = scaffold("names", tmp_path, found=guess(path), files=[path])
    assert set(find_recipe(str(made)).recipe.data.label.map) == set(names)
    assert {row.label for row in read_sides(find_recipe(str(made)), tmp_path).train} == set(names)


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("text label", [], "rows.csv has no rows"),
        (
            "text label",
            [(f"a text of words {n}", str(n)) for n in range(30)],
            "no column of rows.csv looks like classes",
        ),
        ("a b", [(str(n), "xy"[n % 2]) for n in range(30)], "no column of rows.csv looks like texts"),
        ("text label", [("a text", "x", "more")], "has not as many cells as the header"),
    ],
)
def test_what_cannot_be_told_is_asked_for(tmp_path: Path, header: str, rows: list[tuple[str, ...]], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        guess(table(tmp_path, header, rows))


def test_what_is_named_must_be_there_and_be_classes(tmp_path: Path) -> None:
    path = reviews(tmp_path, count=400)
    with pytest.raises(InvalidArgument, match="no column 'text': it has id, body"):
        guess(path, text="text")
    with pytest.raises(InvalidArgument, match="'id' has 400 different values: classes are 2 to 300"):
        guess(path, label="id")
    with pytest.raises(InvalidArgument, match="No such file"):
        guess(tmp_path / "none.csv")


def test_the_command_says_what_it_took_for_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({"text": f"{TEXTS[n % 4]} {n}", "label": n % 2}) for n in range(40)]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = ["--rows", str(tmp_path / "train.jsonl"), "--judge", str(tmp_path / "dev.jsonl")]
    begin = ["solutions", "new", "mine", "--folder", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*begin, *rows])
    said = capsys.readouterr().out
    assert "label: column 'label', 2 classes in 40 rows: 0 (20), 1 (20)" in said
    assert f"symbiont solutions run {tmp_path}/mine --data {tmp_path}" in said
    assert len(read_sides(find_recipe(str(tmp_path / "mine")), tmp_path).test) == 40
    for wrong, words in ((rows[2:], "name your table"), ([*rows[:3], "/elsewhere.csv"], "must lie beside")):
        with pytest.raises(SystemExit, match=r"^1$"):
            main([*begin, *wrong])
        assert words in capsys.readouterr().err
