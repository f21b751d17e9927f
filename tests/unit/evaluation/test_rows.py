import numpy as np
import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.rows import MOST_LETTERS, OTHER, place_of, row_id, rows_at, rows_of, slice_of


def test_a_row_is_told_by_both_of_its_texts() -> None:
    ids = {row_id("ab", "c"), row_id("a", "bc"), row_id("abc"), row_id("", "abc")}
    assert len(ids) == 4
    assert row_id("ab", "c") in ids


def test_equal_texts_have_keys_of_their_own() -> None:
    rows = rows_of(["a", "b", "a"])
    assert len(set(rows.keys())) == 3
    assert rows.keys()[0] == rows_of(["a"]).keys()[0]


def test_lengths_are_a_slice() -> None:
    rows = rows_of(["a"] * 4, tokens=[1, 16, 17, 5000])
    part = rows.slices[0]
    assert [part.values[code] for code in part.codes] == ["1-16", "1-16", "17-32", "over 512"]


def test_numbers_are_cut_at_quartiles_and_few_are_kept() -> None:
    part = slice_of("price", [*map(float, range(100)), None])
    assert len(part.values) == 4
    assert np.bincount(part.codes[:-1]).tolist() == [25, 25, 25, 25]
    assert part.codes[-1] == -1
    assert slice_of("stars", [1.0, 2.0, 1.0]).values == ("1", "2")


def test_what_is_rare_or_long_has_no_name_of_its_own() -> None:
    part = slice_of("note", [*(f"n{i:03}" for i in range(60)), "x" * (MOST_LETTERS + 1), *["often"] * 5])
    assert OTHER in part.values
    assert "often" in part.values
    assert not any(len(value) > MOST_LETTERS for value in part.values)
    assert part.values[part.codes[60]] == OTHER


def test_yes_and_no() -> None:
    part = slice_of("returning", [True, False, None])
    assert [part.values[0], part.values[1], part.codes.tolist()] == ["no", "yes", [1, 0, -1]]


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    assert rows_of(["a"] * 4, groups=["x", "", "x", ""]).groups.tolist() == [0, 1, 0, 2]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="language"):
        rows_of(["a", "b"], slices={"language": ["en"]})


def test_some_rows() -> None:
    rows = rows_of(["a", "b", "c"], tokens=[1, 2, 3], slices={"x": ["p", "q", "p"]}).take(np.array([2, 0]))
    assert rows.tokens.tolist() == [3, 1]
    assert rows.slices[0].codes.tolist() == [0, 0]
    assert bytes(rows.ids[0]) == row_id("c")


def test_a_row_that_is_known_by_its_place_tells_no_text_and_is_found_again() -> None:
    dataset = "ab" * 32
    rows = rows_at(
        [(dataset, 0), (dataset, 7), (dataset, 70_000)], groups=["a", "a", ""], slices={"region": ["n", "s", None]}
    )
    found = [bytes(id).hex() for id in rows.ids]
    assert [place_of(id, dataset) for id in found] == [0, 7, 70_000]
    assert place_of(found[1], "cd" * 32) is None
    assert rows.slices[0].values == ("n", "s")
    assert rows_at([(dataset, 7)]).keys() == rows.take(np.array([1])).keys()
    with pytest.raises(InvalidArgument, match="tokens"):
        rows_at([(dataset, 1), (dataset, 2)], tokens=[3])
