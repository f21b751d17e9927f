"""No row that judged a version before is learnt, however it comes; rows that a version learnt do not judge the next."""

from collections.abc import Iterator
from typing import Any

import pytest

from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.balance import balance
from symbiont.training.gate.settings import Balance, Sampling
from symbiont.training.types import Past
from symbiont.training.worker.batches import draw, split_holdout
from symbiont.training.worker.dividing import Divided, divide

LABELS = ("a", "b", "c")


def rows(name: str, count: int, **more: Any) -> list[Row]:
    return [Row(f"{name} {n}", LABELS[n % 3], **more) for n in range(count)]


class Sets:
    """Datasets by name, as `divide` reads them."""

    def __init__(self, **sets: list[Row]) -> None:
        self.sets = sets

    def __call__(self, digest: str) -> Iterator[Row]:
        if digest not in self.sets:
            raise NotFound(f"{digest} is gone")
        return iter(self.sets[digest])

    def divided(self, *trainings: Past) -> Divided:
        return divide(self, trainings[:-1], trainings[-1])


def past(dataset: str, seed: int = 0, judged_by: str = "", *, by_text: bool = True, **replay: Any) -> Past:
    return Past(dataset, judged_by, 0.0 if judged_by else 0.25, seed, by_text=by_text, **replay)


def texts(found: Any) -> list[str]:
    return [row.text for row in found]


def test_a_first_training_is_divided_as_ever() -> None:
    sets = Sets(x=rows("x", 60))
    divided = sets.divided(past("x", seed=3))
    kept, held = split_holdout([row.label for row in sets.sets["x"]], 0.25, 3)
    assert texts(divided.kept) == [f"x {n}" for n in kept]
    assert texts(divided.held) == [f"x {n}" for n in held]
    assert (divided.own, divided.unknown) == (len(kept), False)


# As releases divided rows before texts were looked at.
@pytest.mark.parametrize("by_text", [False, True])
def test_rows_that_are_there_once_are_divided_as_ever(by_text: bool) -> None:
    grouped = [Row(f"g {n}", LABELS[n % 3], group=f"g{n % 9}" if n < 18 else "") for n in range(20)]
    few = [Row(f"x {n}", "a" if n < 3 else "b") for n in range(20)]
    sets = Sets(x=rows("x", 30), few=few, grouped=grouped)
    for name, seed, expected in (
        ("x", 3, [0, 8, 11, 18, 19, 22]),
        ("few", 7, [2, 6, 7, 19]),
        ("grouped", 3, [2, 6, 11, 15]),
    ):
        divided = sets.divided(Past(name, "", 0.2, seed, by_text=by_text))
        assert [int(text.split()[1]) for text in texts(divided.held)] == expected
        assert len(divided.kept) == len(sets.sets[name]) - len(expected)


def twice(name: str, count: int, **more: Any) -> list[Row]:
    return rows(name, count, **more) * 2


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_one_text_are_on_one_side(seed: int) -> None:
    balanced = balance([*rows("x", 90)[::3], *rows("x", 9)], LabelKind.CLASS, Balance(sampling=Sampling.OVER)).rows
    scores = [Row(f"s {n % 30}", float(n % 30)) for n in range(60)]
    sets = Sets(x=twice("x", 30), balanced=balanced, scores=scores)
    for name, learnt in (("x", 48), ("scores", 40), ("balanced", 0)):
        divided = sets.divided(past(name, seed=seed))
        assert set(texts(divided.kept)).isdisjoint(texts(divided.held))
        assert len(divided.kept) + len(divided.held) == len(sets.sets[name])
        assert divided.apart == 0
        assert len(divided.kept) == learnt or name == "balanced"
        assert {row.label for row in divided.kept} == {row.label for row in sets.sets[name]} or name == "scores"
    # And so they are in the next training, and in one that a release before has begun.
    sets.sets["y"] = [*twice("y", 30), *twice("x", 30)]
    for by_text in (False, True):
        first, second = past("x", seed=seed, by_text=by_text), sets.divided(past("x", by_text=by_text), past("y"))
        assert set(texts(second.kept)).isdisjoint(texts(second.held))
        assert set(texts(sets.divided(first).kept)).isdisjoint(texts(sets.divided(first).held)) is by_text
        # Nothing that the first version learnt judges the second one.
        assert set(texts(sets.divided(past("x", by_text=by_text)).kept)).isdisjoint(texts(second.held))


def test_each_class_keeps_a_text_to_learn_from() -> None:
    # Half of the texts of c are texts of a, too; d is one text.
    found = [Row(f"{n}", "a") for n in range(40)] + [Row(f"{n}", "c") for n in (0, 0, 1, 50, 51)] + [Row("d", "d")] * 9
    for seed in range(9):
        divided = Sets(x=found).divided(past("x", seed=seed))
        assert {row.label for row in divided.kept} == {"a", "c", "d"}
        assert set(texts(divided.kept)).isdisjoint(texts(divided.held))


def test_a_text_that_is_most_of_the_rows_is_learnt() -> None:
    found = [*([Row("the one", "a")] * 50), *rows("x", 30)]
    for seed in range(9):
        divided = Sets(x=found).divided(past("x", seed=seed))
        assert "the one" not in texts(divided.held)
        assert 7 <= len(divided.held) <= 9


def test_where_all_rows_are_one_text_they_judge_all_the_same() -> None:
    divided = Sets(x=[Row(label, label) for label in "ab" * 10]).divided(past("x"))
    assert (len(divided.kept), len(divided.held)) == (16, 4)


def test_a_text_of_several_groups_is_learnt_in_one_and_judges_in_none() -> None:
    talks = [Row(f"x {n}", LABELS[n % 3], group=f"g{n % 10}") for n in range(50)]
    found = [*talks, *(Row("hello", "a", group=f"g{n}") for n in range(10)), *([Row("alone", "b")] * 4)]
    divided = Sets(x=found).divided(past("x"))
    groups = [{row.group for row in side} - {""} for side in (divided.kept, divided.held)]
    assert groups[0].isdisjoint(groups[1])
    assert set(texts(divided.kept)).isdisjoint(texts(divided.held))
    assert "hello" in texts(divided.kept)
    assert divided.apart == len(found) - len(divided.kept) - len(divided.held) == len(groups[1])


def test_what_a_dataset_to_judge_by_has_is_not_learnt() -> None:
    sets = Sets(x=[*rows("x", 30), *rows("j", 6)], judge=rows("j", 12))
    divided = sets.divided(past("x", judged_by="judge"))
    assert texts(divided.kept) == texts(rows("x", 30))
    assert (len(divided.held), divided.own, divided.apart) == (12, 30, 6)
    before = sets.divided(past("x", judged_by="judge", by_text=False))
    assert (before.own, before.apart) == (36, 0)


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_come_again_stay_on_their_side(seed: int) -> None:
    sets = Sets(x=rows("x", 60), y=[*rows("y", 60), *reversed(rows("x", 60))])
    first = sets.divided(past("x"))
    second = sets.divided(past("x"), past("y", seed=seed))
    assert set(texts(first.held)) <= set(texts(second.held))
    assert set(texts(first.kept)) <= set(texts(second.kept))
    assert set(texts(second.held)).isdisjoint(texts(second.kept))
    assert sorted(texts([*second.kept, *second.held])) == sorted(texts(sets.sets["y"]))
    # Of the new rows each label has its share.
    assert sum(text.startswith("y") for text in texts(second.held)) == 15


def test_what_judged_any_version_before_judges_the_next() -> None:
    sets = Sets(x=rows("x", 30), y=rows("y", 30), z=[*rows("z", 30), *rows("y", 30), *rows("x", 30)])
    line = past("x"), past("y"), past("z", replay_digest="x", replay_share=1.0)
    before = [sets.divided(*line[:n]) for n in (1, 2)]
    last = sets.divided(*line)
    for each in before:
        assert set(texts(each.held)) <= set(texts(last.held))
        assert set(texts(each.held)).isdisjoint(texts(last.kept))
    assert set(texts(before[0].held)) <= set(texts(before[1].held))


def test_rows_with_their_labels_corrected_are_those_of_the_new_dataset() -> None:
    sets = Sets(x=rows("x", 30), y=[Row(row.text, "c") for row in rows("x", 30)])
    second = sets.divided(past("x"), past("y"))
    assert {row.label for row in (*second.kept, *second.held)} == {"c"}


def test_replay_learns_a_share_of_each_label_and_nothing_that_judges() -> None:
    sets = Sets(x=rows("x", 90), y=[*rows("y", 30), *rows("x", 9)])
    first = sets.divided(past("x"))
    second = sets.divided(past("x"), past("y", replay_digest="x", replay_share=0.5))
    again = second.kept[second.own :]
    assert set(texts(again)).isdisjoint(texts(first.held))
    assert set(texts(again)).isdisjoint(texts(sets.sets["y"]))
    free = {text for text in texts(first.kept) if text not in texts(sets.sets["y"])}
    assert len(again) == round(len(free) / 2)
    counts = [sum(row.label == label for row in again) for label in LABELS]
    assert max(counts) - min(counts) <= 1
    # The same ones each time, and others with another seed.
    assert texts(sets.divided(past("x"), past("y", replay_digest="x", replay_share=0.5)).kept) == texts(second.kept)
    few = sets.divided(past("x"), past("y", seed=1, replay_digest="x", replay_share=0.5, replay_rows=4))
    assert len(few.kept) - few.own == 4


def test_a_dataset_to_judge_by_is_never_learnt_later() -> None:
    sets = Sets(x=rows("x", 30), judge=rows("j", 12), y=[*rows("y", 30), *rows("j", 12)])
    second = sets.divided(past("x", judged_by="judge"), past("y", judged_by="judge"))
    assert texts(second.held) == texts(sets.sets["judge"])
    assert texts(second.kept) == texts(rows("y", 30))


def test_groups_stay_on_their_side() -> None:
    grouped = [Row(f"x {n}", LABELS[n % 3], group=f"g{n % 10}") for n in range(60)]
    more = [Row(f"y {n}", LABELS[n % 3], group=f"g{n % 20}") for n in range(60)]
    sets = Sets(x=grouped, y=more)
    first, second = sets.divided(past("x")), sets.divided(past("x"), past("y"))
    for side in ("kept", "held"):
        groups = {row.group for row in getattr(first, side)}
        assert {row.group for row in more if row.group in groups} <= {row.group for row in getattr(second, side)}
    assert {row.group for row in second.kept}.isdisjoint(row.group for row in second.held)


def test_one_group_alone_tells_nothing() -> None:
    sets = Sets(x=rows("x", 30, group="all"), y=rows("y", 30, group="all"))
    second = sets.divided(past("x"), past("y"))
    assert second.own > 15


def test_what_is_gone_is_said() -> None:
    sets = Sets(y=rows("y", 30))
    assert sets.divided(past("x"), past("y")).unknown
    with pytest.raises(NotFound):
        sets.divided(past("y"), past("x"))


def test_nothing_but_rows_that_judged_is_refused() -> None:
    sets = Sets(x=rows("x", 30), judge=rows("j", 12))
    with pytest.raises(InvalidArgument, match="this version or one before"):
        sets.divided(past("x", judged_by="judge"), past("judge"))


def test_draws_give_each_label_its_share() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"]
    drawn = draw(labels, 31, 0)
    assert [sum(labels[n] == label for n in drawn) for label in "abc"] == [20, 10, 1]
    assert drawn == sorted(set(drawn)) == draw(labels, 31, 0) != draw(labels, 31, 1)
    assert draw(labels, 1000, 0) == list(range(91))
