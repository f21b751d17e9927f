import numpy as np
import pytest

from support.outcomes import EVERY, classified, scored
from symbiont.evaluation.bootstrap import Sampling
from symbiont.evaluation.figures import Estimate, SliceRow
from symbiont.evaluation.metrics import primary
from symbiont.evaluation.outcomes import Outcome
from symbiont.evaluation.slices import slice_table, worst_slices

FEW = Sampling(100)


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_every_value_has_its_metric(outcome: Outcome) -> None:
    table = slice_table(outcome, sampling=FEW)
    assert {row.slice for row in table} == {"language", "price", "length"}
    assert {row.metric for row in table} == {primary(outcome)}
    for name in ("language", "price", "length"):
        assert sum(row.rows for row in table if row.slice == name) <= len(outcome)


def test_a_value_is_judged_on_its_own_rows() -> None:
    outcome = classified(300)
    right = outcome.logits.argmax(axis=1) == outcome.truth
    part = next(part for part in outcome.rows.slices if part.name == "language")
    for row in slice_table(outcome, sampling=FEW):
        if row.slice == "language":
            mine = part.codes == part.values.index(row.value)
            assert row.estimate.value == pytest.approx(right[mine].mean())
            assert row.rows == mine.sum()
            assert row.estimate.low < row.estimate.value < row.estimate.high


def row(value: str, rows: int, metric: str, found: float) -> SliceRow:
    return SliceRow(slice="s", value=value, rows=rows, metric=metric, estimate=Estimate(value=found, low=0, high=9))


def test_the_worst_have_enough_rows() -> None:
    table = [row("a", 50, "accuracy", 0.9), row("b", 3, "accuracy", 0.1), row("c", 50, "accuracy", 0.5)]
    assert [one.value for one in worst_slices(table)] == ["c", "a"]
    table = [row("a", 50, "mae", 0.9), row("c", 50, "mae", 0.5)]
    assert [one.value for one in worst_slices(table, count=1)] == ["a"]


def test_another_metric() -> None:
    assert {row.metric for row in slice_table(scored(200), "rmse", FEW)} == {"rmse"}
    assert slice_table(classified(5).take(np.zeros(0, int)), sampling=FEW) == []
