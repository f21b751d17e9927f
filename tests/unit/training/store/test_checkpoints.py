"""Checkpoints on record: the latest and the best are kept, the rest is collected."""

from datetime import timedelta

import pytest

from symbiont.common.artifacts import ArtifactStore
from symbiont.training import types
from symbiont.training.collector import Collector
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import WorkerReport, now

Resolved = tuple[TrainingSpec, types.Inputs]
EVALUATION = types.Evaluation(2, 0.5, 0.4, 0.7, ("bad", "good"), ((1, 0), (1, 0)))


class Training:
    """A job with a worker that makes checkpoints."""

    def __init__(self, store: Store, artifacts: ArtifactStore, resolved: Resolved) -> None:
        self.store, self.artifacts, self.seq = store, artifacts, 0
        self.job = store.add_job(*resolved, "", "d")[0].id
        store.validated(self.job, None)
        store.begin_attempt(self.job)
        store.take(WorkerReport(self.job, 1, 0, types.Hello(1)))

    def report(self, report: types.Report) -> None:
        self.seq += 1
        self.store.take(WorkerReport(self.job, 1, self.seq, report))

    def checkpoint(self, step: int, loss: float | None = None) -> str:
        content = {"state": f"{self.job} {step}".encode()}
        digest = self.artifacts.put("checkpoints", content, {"job": self.job, "step": step})
        self.report(types.CheckpointSaved(step, digest, loss))
        return digest

    def end(self) -> None:
        for report in (types.EvaluationStarted(), EVALUATION, types.Done("b" * 64)):
            self.report(report)

    def kept(self) -> list[int]:
        steps = [checkpoint.step for checkpoint in self.store.checkpoints(self.job)]
        there = [self.artifacts.exists("checkpoints", c.digest) for c in self.store.checkpoints(self.job)]
        assert all(there)
        return steps


@pytest.fixture
def training(store: Store, artifacts: ArtifactStore, resolved: Resolved) -> Training:
    return Training(store, artifacts, resolved)


def collect(training: Training, retention: float = 3600) -> int:
    metrics = TrainingMetrics(training.store)
    return Collector(training.store, training.artifacts, metrics, every=1, retention=retention).collect()


def test_the_latest_and_the_best_are_kept(training: Training) -> None:
    for step, loss in ((5, 0.9), (10, 0.3), (15, 0.5), (20, 0.6)):
        training.checkpoint(step, loss)
    assert collect(training) == 2
    assert training.kept() == [10, 20]
    assert [c.best for c in training.store.checkpoints(training.job)] == [True, False]
    assert len(training.artifacts.list("checkpoints")) == 2
    assert collect(training) == 0


def test_without_a_judgement_the_latest_is_the_best(training: Training) -> None:
    for step in (5, 10, 15):
        training.checkpoint(step)
    assert collect(training) == 2
    assert training.kept() == [15]


def test_what_ended_is_kept_for_a_while_and_what_is_promoted_for_longer(training: Training) -> None:
    training.checkpoint(5, 0.3)
    training.checkpoint(10, 0.5)
    training.end()
    assert collect(training) == 0
    training.store.set_alias("mood", "production", 1)
    assert collect(training, retention=-1) == 0
    assert training.kept() == [5, 10]
    other = Training(
        training.store,
        training.artifacts,
        (training.store.job(training.job).spec, training.store.job(training.job).inputs),
    )
    other.checkpoint(5)
    other.end()
    training.store.set_alias("mood", "production", 2)
    assert collect(training, retention=-1) == 2
    assert (training.kept(), other.kept()) == ([], [5])


def test_what_was_cancelled_for_good_goes_at_once(training: Training) -> None:
    training.checkpoint(5)
    training.store.cancel(training.job, "asked")
    training.report(types.Stopped())
    assert collect(training) == 1
    assert training.artifacts.list("checkpoints") == []


def test_a_paused_or_failed_job_keeps_its_work(training: Training) -> None:
    training.checkpoint(5)
    training.store.pause(training.job, "asked")
    training.report(types.Stopped())
    assert collect(training, retention=-1) == 0
    training.store.resume(training.job, "asked")
    training.store.begin_attempt(training.job)
    training.store.take(WorkerReport(training.job, 2, 1, types.Failure(types.FailureKind.CODE, "x")))
    assert collect(training) == 0
    assert training.kept() == [5]


def test_an_attempt_that_starts_over_comes_by_the_same_steps(training: Training) -> None:
    first = training.checkpoint(5, 0.4)
    training.store.lose_attempt(training.job, 1, "lost")
    training.store.begin_attempt(training.job)
    training.store.take(WorkerReport(training.job, 2, 1, types.CheckpointSaved(5, first, 0.4)))
    (checkpoint,) = training.store.checkpoints(training.job)
    assert (checkpoint.digest, checkpoint.attempt) == (first, 2)
    # A digest that was replaced in the meantime is not forgotten by mistake.
    assert not training.store.forget_checkpoint(training.job, 5, "f" * 64)
    assert training.store.useless_checkpoints(now() - timedelta(days=1)) == []
