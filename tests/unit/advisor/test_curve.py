"""Curves out of the events of jobs."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from symbiont.advisor.curve import Curve, Point, best_so_far
from symbiont.api.training.v1 import training_job_pb2 as pb


def event(second: float, attempt: int = 1, **body: Any) -> pb.TrainingEvent:
    return pb.TrainingEvent(time=Timestamp(seconds=int(second)), attempt=attempt, **body)


def state(second: float, new: "pb.JobState.ValueType") -> pb.TrainingEvent:
    return event(second, state_change=pb.StateChange(new_state=new))


def judged(second: float, step: int, value: float, attempt: int = 1) -> pb.TrainingEvent:
    return event(second, attempt, metrics=pb.Metrics(step=step, values={"evaluation_f1": value, "evaluation_loss": 9}))


def curve_of(*events: pb.TrainingEvent) -> Curve:
    curve = Curve("f1")
    for one in events:
        curve.add(one)
    return curve


def test_a_curve_is_the_measure_by_the_time_with_a_worker() -> None:
    curve = curve_of(
        state(90, pb.JOB_STATE_QUEUED),
        state(100, pb.JOB_STATE_STARTING),
        state(101, pb.JOB_STATE_RUNNING),
        event(102, progress=pb.Progress(step=5, total_steps=30)),
        judged(105, 10, 0.5),
        # A pause uses no compute.
        state(110, pb.JOB_STATE_PAUSED),
        state(200, pb.JOB_STATE_STARTING),
        judged(203, 20, 0.75),
    )
    assert curve.points == [Point(10, 5.0, 0.5), Point(20, 13.0, 0.75)]
    assert curve.total_steps == 30
    assert curve.best_after(1) == 0.5
    assert curve.best_after(9) == 0.75
    assert Curve("f1").best_after(3) is None


def test_what_a_later_attempt_does_again_stands_once() -> None:
    curve = curve_of(
        state(0, pb.JOB_STATE_STARTING),
        judged(1, 10, 0.5),
        judged(2, 20, 0.6),
        judged(3, 30, 0.7),
        state(4, pb.JOB_STATE_RECOVERING),
        state(10, pb.JOB_STATE_STARTING),
        judged(11, 20, 0.65, attempt=2),
    )
    assert [(p.step, p.value) for p in curve.points] == [(10, 0.5), (20, 0.65)]
    assert curve.points[-1].seconds == 5.0


def test_only_a_judgement_is_one() -> None:
    curve = Curve("f1")
    assert curve.add(judged(1, 10, 0.5)) is True
    assert curve.add(event(2, metrics=pb.Metrics(step=10, values={"evaluation_loss": 1.0}))) is False
    assert curve.add(event(2, log_line=pb.LogLine(text="hello"))) is False
    assert curve.parameters is None
    sizes = {"parameters": 200.0, "trained_parameters": 20.0, "peak_memory_bytes": 1e9}
    assert curve.add(event(3, metrics=pb.Metrics(step=30, values=sizes))) is False
    assert curve.parameters == (200, 20)


def test_stopping_anywhere_keeps_the_best_until_there() -> None:
    points = [Point(1, 1.0, 0.5), Point(2, 2.0, 0.4), Point(3, 3.0, 0.6)]
    assert [p.value for p in best_so_far(points)] == [0.5, 0.5, 0.6]
    assert [p.seconds for p in best_so_far(points)] == [1.0, 2.0, 3.0]
    assert best_so_far([]) == []


@pytest.mark.parametrize("new", [pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_CANCELLED, pb.JOB_STATE_FAILED])
def test_no_time_passes_after_the_end(new: "pb.JobState.ValueType") -> None:
    curve = curve_of(state(0, pb.JOB_STATE_STARTING), state(7, new), judged(50, 10, 0.5))
    assert curve.points[-1].seconds == 7.0
