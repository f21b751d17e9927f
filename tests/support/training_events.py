"""Made-up events of training jobs."""

from typing import Any

from symbiont.api.training.v1 import training_job_pb2 as pb


def progress(step: int, loss: float = 0.0, attempt: int = 1, total: int = 0, **more: Any) -> pb.TrainingEvent:
    """Returns the event of steps done."""
    done = pb.Progress(step=step, total_steps=total, loss=loss, **more)
    return pb.TrainingEvent(attempt=attempt, progress=done)


def metrics(step: int, attempt: int = 1, **values: float) -> pb.TrainingEvent:
    """Returns the event of numbers measured after a step."""
    return pb.TrainingEvent(attempt=attempt, metrics=pb.Metrics(step=step, values=values))


def evaluation(loss: float, attempt: int = 1) -> pb.TrainingEvent:
    """Returns the event of the final judgement."""
    return pb.TrainingEvent(attempt=attempt, evaluation=pb.Evaluation(row_count=10, loss=loss))


def state(new_state: pb.JobState.ValueType, attempt: int = 1) -> pb.TrainingEvent:
    """Returns the event of a new state."""
    return pb.TrainingEvent(attempt=attempt, state_change=pb.StateChange(new_state=new_state))
