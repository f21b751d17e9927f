"""Curves out of events: which of them count, and what a later attempt replaces."""

import pytest

from support.training_events import evaluation, metrics, progress, state
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.curves.curve import Curve, Measure, Point, curve_of


def points(measure: Measure, *events: pb.TrainingEvent) -> list[tuple[int, int, float]]:
    return [(p.attempt, p.step, p.value) for p in curve_of("j", measure, events).points]


@pytest.mark.parametrize("measure", [m for m in Measure if m is not Measure.EVALUATION_LOSS])
def test_each_measure_of_a_step_comes_from_its_progress(measure: Measure) -> None:
    values = {"loss": 0.5, "learning_rate": 0.25, "gradient_norm": 2.0, "tokens_per_second": 1000.0}
    events = [state(pb.JOB_STATE_RUNNING), progress(4, **values), metrics(4, evaluation_loss=9.0), evaluation(8.0)]
    assert points(measure, *events) == [(1, 4, values[measure.key])]


def test_a_later_attempt_replaces_what_it_does_again() -> None:
    first = [progress(step, loss=1.0) for step in (10, 20, 30, 40)]
    second = [state(pb.JOB_STATE_RUNNING, 2), progress(30, 0.5, attempt=2), progress(50, 0.25, attempt=2)]
    assert points(Measure.LOSS, *first, *second) == [(1, 10, 1.0), (1, 20, 1.0), (2, 30, 0.5), (2, 50, 0.25)]
    # A third attempt that begins anew leaves nothing of the others, and what they still send comes too late.
    third = [progress(10, 0.75, attempt=3), progress(60, 0.125, attempt=2), progress(20, 0.625, attempt=3)]
    assert points(Measure.LOSS, *first, *second, *third) == [(3, 10, 0.75), (3, 20, 0.625)]


def test_a_later_attempt_replaces_judgements_before_it_has_its_own() -> None:
    events = [progress(10), metrics(10, evaluation_loss=3.0), progress(20), metrics(20, evaluation_loss=2.0)]
    again = [progress(15, attempt=2), progress(20, attempt=2)]
    assert points(Measure.EVALUATION_LOSS, *events, *again) == [(1, 10, 3.0)]
    judged = [*again, metrics(20, attempt=2, evaluation_loss=1.5, peak_memory_bytes=1e9)]
    assert points(Measure.EVALUATION_LOSS, *events, *judged) == [(1, 10, 3.0), (2, 20, 1.5)]


def test_the_final_judgement_stands_after_the_last_step() -> None:
    assert points(Measure.EVALUATION_LOSS, progress(10), progress(25), evaluation(0.5)) == [(1, 25, 0.5)]
    # Of the last checkpoint it is known already, and the final one may be that of a better checkpoint.
    judged = [progress(25), metrics(25, evaluation_loss=0.75), evaluation(0.5)]
    assert points(Measure.EVALUATION_LOSS, *judged) == [(1, 25, 0.75)]
    # An attempt that had only to judge reports no step.
    assert points(Measure.EVALUATION_LOSS, *judged, evaluation(0.25, attempt=2)) == [(2, 25, 0.25)]


def test_metrics_without_the_measure_are_no_point() -> None:
    assert points(Measure.EVALUATION_LOSS, metrics(5, peak_memory_bytes=1e9)) == []
    assert points(Measure.LOSS, metrics(5, loss=1.0)) == []


def test_a_step_that_comes_twice_is_one_point() -> None:
    assert points(Measure.LOSS, progress(5, 1.0), progress(5, 0.5)) == [(1, 5, 0.5)]


def test_an_empty_curve_says_why() -> None:
    assert Curve("j", Measure.LOSS, (Point(1, 1, 0.5),), 1).emptiness() == ""
    assert curve_of("j", Measure.LOSS, [state(pb.JOB_STATE_QUEUED)]).emptiness() == "j has not reported a step yet"
    said = curve_of("j", Measure.EVALUATION_LOSS, [progress(7)]).emptiness()
    assert said == "j has done 7 steps and reported no evaluation loss"
