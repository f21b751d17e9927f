from dataclasses import replace

import numpy as np
import pytest

from support.outcomes import EVERY, classified, multi_labelled
from symbiont.common.errors import IntegrityError
from symbiont.evaluation import Costs, Floor, Gate, Origin, Report, Sampling, Speed, make_report
from symbiont.evaluation.outcomes import Outcome

FEW = Sampling(60)


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_a_report_comes_back_from_its_json(outcome: Outcome) -> None:
    report = make_report(outcome, outcome, gate=Gate(rules=(Floor(value=0.1),)), sampling=FEW)
    assert Report.from_json(report.to_json()) == report
    assert "secret" not in report.to_json()
    assert report.headlines[0].metric == report.primary
    assert report.task == outcome.task
    assert len(report.hardest) == 20


def test_what_is_said_of_classes() -> None:
    outcome = classified(300)
    costs = Costs(((0.0, 1.0, 1.0), (5.0, 0.0, 1.0), (1.0, 1.0, 0.0)), outcome.labels)
    origin = Origin(model="models/m", version="2")
    report = make_report(outcome, costs=costs, speed=Speed(median_ms=3, p99_ms=9), origin=origin, sampling=FEW)
    assert sum(map(sum, report.matrix)) == 300
    assert len(report.curves) == 3
    assert report.calibration is not None
    assert report.decisions is not None
    assert report.comparison is None
    assert report.verdict is None
    assert report.headline("accuracy") == report.headlines[0]
    assert report.headline("mae") is None


def test_a_matrix_of_many_classes_is_not_kept() -> None:
    report = make_report(classified(500, tuple(f"c{i}" for i in range(30))), sampling=FEW)
    assert report.matrix == ()
    assert len(report.confusions) == 20
    assert len(report.curves) == 5
    assert len(report.classes) == 30


def test_a_gate_looks_at_the_speed() -> None:
    gate = Gate.model_validate({"rules": [{"kind": "latency_limit", "p99_ms": 5}]})
    outcome = multi_labelled(100)
    slow = make_report(outcome, gate=gate, speed=Speed(median_ms=3, p99_ms=9), sampling=FEW)
    assert slow.verdict is not None
    assert not slow.verdict.passed
    assert "9.0 ms" in slow.verdict.reasons()[0]


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_without_rows_there_is_still_a_report(outcome: Outcome) -> None:
    report = make_report(outcome.take(np.zeros(0, int)), sampling=FEW)
    assert report.rows == 0
    assert report.headlines == ()
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_one_row_is_enough(outcome: Outcome) -> None:
    assert make_report(outcome.take(np.array([3])), sampling=FEW).rows == 1


def test_groups_are_counted() -> None:
    outcome = classified(100)
    rows = replace(outcome.rows, groups=np.arange(100) // 5)
    assert make_report(replace(outcome, rows=rows), sampling=FEW).groups == 20


@pytest.mark.parametrize("data", ["", "{}", "[]", '{"kind": "bundle"}', b"\xff"])
def test_what_is_no_report_is_refused(data: str) -> None:
    with pytest.raises(IntegrityError, match="not the report"):
        Report.from_json(data)
