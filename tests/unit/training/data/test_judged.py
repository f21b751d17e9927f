"""Held-out rows as an evaluation knows them."""

from symbiont.evaluation import place_of
from symbiont.training.data.judged import judged_rows
from symbiont.training.data.rows import Row

DATASET = "0f" * 32


def test_rows_are_known_by_places_and_kinds_and_not_by_texts() -> None:
    rows = [
        Row(
            "a secret text",
            "good",
            fields={"region": "north", "since": "2024-05-01"},
            time="2026-01-03",
            group="g",
            place=(DATASET, 4),
        ),
        Row(
            "秘密的文字",
            "bad",
            fields={"region": "south", "since": "2025-05-01"},
            time="2025-01-03",
            group="g",
            place=(DATASET, 5),
        ),
        Row("12 34", "bad", place=(DATASET, 9)),
    ]
    made = judged_rows(rows, [3, 5, 2])
    assert [place_of(bytes(id).hex(), DATASET) for id in made.ids] == [4, 5, 9]
    slices = {part.name: ([*part.values, None], part.codes.tolist()) for part in made.slices}
    told = {name: [values[code] for code in codes] for name, (values, codes) in slices.items()}
    assert told["region"] == ["north", "south", None]
    assert told["since"] == ["2024", "2025", None]
    assert told["year"] == ["2026", "2025", None]
    assert told["script"] == ["Latin", "Chinese", None]
    assert made.groups.tolist()[0] == made.groups.tolist()[1]
    assert "secret" not in repr(made)


def test_what_all_rows_share_is_no_slice() -> None:
    rows = [Row(text, fields={"region": "n"}, place=(DATASET, n)) for n, text in enumerate(("one", "two"))]
    made = judged_rows(rows, [1, 1])
    assert [part.name for part in made.slices] == ["length"]
