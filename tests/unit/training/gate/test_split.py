"""Splits: shares of classes, groups, times, near rows."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from support.planted import labelled, nearly
from symbiont.common.errors import InvalidArgument
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.balance import balance
from symbiont.training.gate.deduplicate import shingles_of
from symbiont.training.gate.findings import Finding, numbered
from symbiont.training.gate.settings import Balance, Sampling, Split
from symbiont.training.gate.shingles import similarity
from symbiont.training.gate.split import Parts, split


def shares(rows: list[Row]) -> dict[str, int]:
    return dict(Counter(str(row.label) for row in rows))


def test_every_class_has_its_share() -> None:
    rows = numbered([Row(f"{n}", "abc"[min(n % 10, 2)]) for n in range(1000)])
    parts = split(rows, LabelKind.CLASS, Split(test_fraction=0.15))
    assert shares(parts.test) == {"a": 15, "b": 15, "c": 120}
    assert sorted(row.origin for row in [*parts.train, *parts.test]) == list(range(1000))
    assert parts == split(rows, LabelKind.CLASS, Split(test_fraction=0.15))
    assert parts != split(rows, LabelKind.CLASS, Split(test_fraction=0.15, seed=1))


@pytest.mark.parametrize("common", [0, 100])
def test_mixtures_of_labels_that_occur_once_are_on_either_side(common: int) -> None:
    mixtures = [Row(f"{n}", (f"a{n % 20}", f"b{n // 20}")) for n in range(200)]
    rows = numbered([*mixtures, *(Row(f"c{n}", ("a0",)) for n in range(common))])
    parts = split(rows, LabelKind.CLASSES, Split(test_fraction=0.2))
    assert len(parts.test) == (200 + common) // 5
    assert sum(len(row.label) == 1 for row in parts.test) == common // 5
    assert len(parts.train) == len(rows) - len(parts.test)


def test_classes_of_two_rows_give_as_many_as_are_to_be_tested_on() -> None:
    rows = numbered([Row(f"{n}", f"class-{n // 2}") for n in range(154)])
    parts = split(rows, LabelKind.CLASS, Split(test_fraction=0.2))
    assert len(parts.test) == 31
    assert set(shares(parts.test).values()) == {1}


def grouped() -> list[Row]:
    source = np.random.default_rng(0)
    return [
        Row(f"{n}", "ab"[int(source.random() < 0.2 + 0.6 * (g % 2))], group=f"g{g}")
        for g in range(120)
        for n in range(int(source.integers(1, 12)))
    ]


def off(rows: list[Row], test: list[Row]) -> float:
    whole, part = Counter(r.label for r in rows), Counter(r.label for r in test)
    return sum(abs(part[name] - 0.2 * count) for name, count in whole.items()) / len(rows)


def test_groups_stay_on_one_side_as_evenly_as_sklearn_has_them() -> None:
    rows = grouped()
    parts = split(rows, LabelKind.CLASS, Split())
    assert {row.group for row in parts.train}.isdisjoint(row.group for row in parts.test)
    labels, groups = [row.label for row in rows], [row.group for row in rows]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(rows, labels, groups)
    theirs = [off(rows, [rows[place] for place in test]) for _, test in folds]
    assert off(rows, parts.test) <= float(np.mean(theirs)) + 0.005


def test_a_business_field_may_be_the_group() -> None:
    rows = [replace(row, fields={"branch": int(row.group[1:]) // 2}, group="") for row in grouped()]
    parts = split(rows, LabelKind.CLASS, Split(group_field="branch"))
    assert {row.fields["branch"] for row in parts.train}.isdisjoint(row.fields["branch"] for row in parts.test)
    with pytest.raises(InvalidArgument, match=r"split.group_field: no row has a field 'city'"):
        split(rows, LabelKind.CLASS, Split(group_field="city"))


def test_the_latest_rows_are_the_test_set() -> None:
    times = [
        "2024-01-05",
        "2024-03-01T10:00:00+08:00",
        "2024-03-01T03:00:00Z",
        "",
        "2023-12-31",
        "2024-03-01T04:00:00Z",
    ]
    rows = [Row(str(n), "x", time=time) for n, time in enumerate(times)]
    parts = split(rows, LabelKind.CLASS, Split(by_time=True, test_fraction=0.3))
    assert [row.text for row in parts.test] == ["2", "5"]
    assert parts.findings == (Finding("WITHOUT_TIME", 1, (3,)),)
    with pytest.raises(InvalidArgument, match=r"split\.by_time"):
        split([Row("a"), Row("b")], LabelKind.NONE, Split(by_time=True))


def test_rows_of_one_moment_stay_together() -> None:
    rows = [Row(str(n), "x", time="2024-01-01" if n < 5 else "2024-01-02") for n in range(10)]
    assert len(split(rows, LabelKind.CLASS, Split(by_time=True, test_fraction=0.1)).test) == 5


def test_rows_of_one_text_stay_together() -> None:
    rows = [Row(f"{n}", "abc"[n % 3], pair="x") for n in range(60)]
    rare = [Row(f"rare {n}", "c") for n in range(6)]
    more = balance([*rows, *rare], LabelKind.CLASS, Balance(sampling=Sampling.OVER, max_ratio=1.0)).rows
    for again in (numbered(rows * 2), numbered(more)):
        parts = split(again, LabelKind.CLASS, Split())
        assert {(row.text, row.pair) for row in parts.train}.isdisjoint((row.text, row.pair) for row in parts.test)
        assert abs(len(parts.test) - 0.2 * len(again)) <= 4
    # Another text beside it is another row.
    assert not split([*rows, *(replace(row, pair="y") for row in rows)], LabelKind.CLASS, Split()).findings


def test_a_text_of_several_groups_is_trained_on_or_tested_on() -> None:
    rows = [replace(row, text=f"{n}") for n, row in enumerate(grouped())]
    rows = numbered([*rows, *(Row("hello", "a", group=f"g{n}") for n in range(120))])
    parts = split(rows, LabelKind.CLASS, Split())
    assert {row.group for row in parts.train}.isdisjoint(row.group for row in parts.test)
    assert "hello" in [row.text for row in parts.train]
    assert "hello" not in [row.text for row in parts.test]
    found = {finding.code: finding.count for finding in parts.findings}
    assert found["IN_TRAINING_PART"] == len(rows) - len(parts.train) - len(parts.test) > 10
    # What is said again and again is not only said at last.
    timed = [Row("hello" if n % 2 else f"{n}", "x", time=f"2024-01-{n + 1:02}") for n in range(20)]
    parts = split(timed, LabelKind.CLASS, Split(by_time=True, test_fraction=0.3))
    assert [row.text for row in parts.test] == ["14", "16", "18"]
    assert len(parts.train) == 14


def near_across(parts: Parts) -> int:
    train = [shingles_of(row) for row in parts.train]
    test = [shingles_of(row) for row in parts.test]
    return sum(any(similarity(one, other) >= 0.8 for other in train) for one in test)


def test_near_rows_end_on_one_side() -> None:
    rows = labelled(300)
    rows += [nearly(row, seed) for seed, row in enumerate(rows[:100])]
    assert near_across(split(rows, LabelKind.CLASS, Split())) > 10
    parts = split(rows, LabelKind.CLASS, Split(near_threshold=0.8))
    assert near_across(parts) == 0
    assert abs(len(parts.test) - 80) <= 8


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (LabelKind.NONE, [None] * 10),
        (LabelKind.NUMBER, [float(n) for n in range(10)]),
        (LabelKind.CLASSES, [("a", "b"), ()] * 5),
        (LabelKind.ENTITIES, [((0, 1, "A"),), ()] * 5),
        (LabelKind.ANSWERS, [((0, 1),), ()] * 5),
    ],
)
def test_every_kind_of_label(kind: LabelKind, labels: list[object]) -> None:
    rows = [Row(f"{n}", label) for n, label in enumerate(labels)]  # type: ignore[arg-type]
    assert len(split(rows, kind, Split()).test) == 2


def test_a_part_without_rows_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="without rows"):
        split([Row("a", "x", group="g"), Row("b", "y", group="g")], LabelKind.CLASS, Split())
