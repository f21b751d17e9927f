"""No row that judged a version before is learnt, however it comes; rows that a version learnt do not judge the next."""

from collections.abc import Iterator
from typing import Any

import pytest

from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.training.data.rows import Row
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


def past(dataset: str, seed: int = 0, judged_by: str = "", **replay: Any) -> Past:
    return Past(dataset, judged_by, 0.0 if judged_by else 0.25, seed, **replay)


def texts(found: Any) -> list[str]:
    return [row.text for row in found]


def test_a_first_training_is_divided_as_ever() -> None:
    sets = Sets(x=rows("x", 60))
    divided = sets.divided(past("x", seed=3))
    kept, held = split_holdout([row.label for row in sets.sets["x"]], 0.25, 3)
    assert texts(divided.kept) == [f"x {n}" for n in kept]
    assert texts(divided.held) == [f"x {n}" for n in held]
    assert (divided.own, divided.unknown) == (len(kept), False)


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
    with pytest.raises(InvalidArgument, match="has judged the version before"):
        sets.divided(past("x", judged_by="judge"), past("judge"))


def test_draws_give_each_label_its_share() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"]
    drawn = draw(labels, 31, 0)
    assert [sum(labels[n] == label for n in drawn) for label in "abc"] == [20, 10, 1]
    assert drawn == sorted(set(drawn)) == draw(labels, 31, 0) != draw(labels, 31, 1)
    assert draw(labels, 1000, 0) == list(range(91))
