"""Equal and near rows, within one dataset and across two; the bands find what comparing all with all finds."""

import random
from itertools import combinations

from support.planted import labelled, nearly
from symbiont.training.data.rows import Row
from symbiont.training.gate.deduplicate import deduplicate, shingles_of
from symbiont.training.gate.findings import numbered
from symbiont.training.gate.near import NearIndex
from symbiont.training.gate.settings import Deduplicate
from symbiont.training.gate.shingles import shingles, similarity


def test_the_first_of_equal_rows_stays_and_contradictions_are_named() -> None:
    rows = numbered([Row("a b", "1"), Row("c", "0"), Row("a b", "0"), Row("c", "0"), Row("c", "0", pair="d")])
    outcome = deduplicate(rows, Deduplicate(near_threshold=0))
    assert [row.origin for row in outcome.rows] == [0, 1, 4]
    assert {f.code: f.rows for f in outcome.findings} == {"EXACT_DUPLICATE": (2, 3), "CONTRADICTION": (2,)}


def test_near_rows_go_and_those_of_another_class_stay() -> None:
    text = "the annual fee of this card was charged twice in March"
    rows = numbered([Row(text, "fee"), Row(f"{text}!", "fee"), Row(f"{text}?", "other"), Row("something else", "fee")])
    outcome = deduplicate(rows, Deduplicate())
    assert [row.origin for row in outcome.rows] == [0, 2, 3]
    assert {f.code: f.rows for f in outcome.findings} == {"NEAR_DUPLICATE": (1,), "NEAR_CONTRADICTION": (2,)}


def test_chinese_rows_are_near_by_pairs_of_characters() -> None:
    one, other = "请问我的银行卡为什么被冻结了，需要怎么处理", "请问我的银行卡为什么被冻结了,需要怎么处理?"
    assert similarity(shingles(one), shingles(other)) > 0.8
    assert similarity(shingles(one), shingles("我想提前还清贷款，手续费是多少")) < 0.2


def test_three_hundred_near_rows_across_a_split_are_found() -> None:
    rows = labelled(1500, seed=1)
    test, train = rows[:400], rows[400:]
    planted = [nearly(row, seed) for seed, row in enumerate(test[:300])]
    mixed = train + planted
    random.Random(0).shuffle(mixed)
    outcome = deduplicate(numbered(mixed), Deduplicate(near_threshold=0.8), test)
    left = {row.text for row in outcome.rows}
    missed = [row for row in planted if row.text in left]
    # Those of the shortest texts that one character changes by more than a fifth are not near.
    near = [max(similarity(shingles_of(row), shingles_of(other)) for other in test[:300]) for row in missed]
    assert all(value < 0.8 for value in near)
    print(f"{300 - len(missed)} of 300 near rows were found")
    assert len(missed) <= 3


def test_bands_find_what_comparing_all_finds() -> None:
    rows = labelled(150, seed=2)
    rows += [nearly(nearly(row, seed), seed + 1) for seed, row in enumerate(rows[:100])]
    sets = [shingles_of(row) for row in rows]
    for threshold in (0.6, 0.7, 0.8):
        index, found = NearIndex(threshold), set[tuple[int, int]]()
        for number, made in enumerate(sets):
            found |= {(other, number) for other, _ in index.near(made)}
            index.add(number, made)
        whole = {(i, j) for i, j in combinations(range(len(sets)), 2) if similarity(sets[i], sets[j]) >= threshold}
        assert found <= whole
        assert len(found) >= 0.99 * len(whole) > 50


def test_the_same_rows_give_the_same_outcome() -> None:
    rows = numbered([*labelled(200), *(nearly(row, 3) for row in labelled(50))])
    assert deduplicate(rows, Deduplicate()) == deduplicate(rows, Deduplicate())


def test_texts_without_characters_are_near_to_nothing() -> None:
    assert similarity(shingles(" "), shingles(" ")) == 0.0
    assert len(deduplicate([Row(" ", "a"), Row("  ", "a")], Deduplicate()).rows) == 2
