"""What callers and budgets ask of a job in every state: it happens, or nothing changes."""

import pytest

from symbiont.common.errors import FailedPrecondition
from symbiont.training import types
from symbiont.training.spec import TrainingSpec
from symbiont.training.states import ACTIVE, TRANSITIONS
from symbiont.training.store import Store
from symbiont.training.types import FailureKind, JobState, WorkerReport

S = JobState
Resolved = tuple[TrainingSpec, types.Inputs]
EVALUATION = types.Evaluation(2, 0.5, 0.4, 0.7, ("bad", "good"), ((1, 0), (1, 0)))


class Driven:
    """One job, taken from state to state as callers and workers do."""

    def __init__(self, store: Store, resolved: Resolved, **terms: object) -> None:
        self.store = store
        self.id = store.add_job(*resolved, "", "d", types.Terms(**terms))[0].id  # type: ignore[arg-type]
        self.seq = 0

    @property
    def job(self) -> types.Job:
        return self.store.job(self.id)

    def begin(self) -> None:
        self.store.begin_attempt(self.id)
        self.seq = 0

    def report(self, *reports: types.Report) -> types.Job:
        for report in reports:
            self.seq += 1
            self.store.take(WorkerReport(self.id, self.job.attempt, self.seq, report))
        return self.job

    def to(self, state: S) -> "Driven":
        """Brings a new job into a state."""
        if state is S.VALIDATING:
            return self
        if state is S.QUEUED:
            self.store.validated(self.id, None)
        elif state is S.STARTING:
            self.to(S.QUEUED).begin()
        elif state is S.RUNNING:
            self.to(S.STARTING).report(types.Hello(1))
        elif state is S.PAUSING:
            self.to(S.RUNNING)
            self.store.pause(self.id, "asked")
        elif state is S.PAUSED:
            self.to(S.PAUSING).report(types.Stopped())
        elif state is S.RECOVERING:
            self.to(S.RUNNING)
            self.store.lose_attempt(self.id, 1, "lost")
        elif state is S.EVALUATING:
            self.to(S.RUNNING).report(types.EvaluationStarted(), EVALUATION)
        elif state is S.CANCELLING:
            self.to(S.RUNNING)
            self.store.cancel(self.id, "asked")
        elif state is S.SUCCEEDED:
            self.to(S.EVALUATING).report(types.Done("b" * 64))
        elif state is S.CANCELLED:
            self.store.cancel(self.id, "asked")
        elif state is S.FAILED:
            self.to(S.RUNNING).report(types.Failure(FailureKind.CODE, "x"))
        assert self.job.state is state
        return self

    def checkpoint(self, step: int, loss: float | None = None) -> str:
        digest = f"{step:064x}"
        self.report(types.CheckpointSaved(step, digest, loss))
        return digest

    def reasons(self) -> list[tuple[S, str]]:
        bodies = [e.body for e in self.store.events(self.id, 0)]
        return [(b.new_state, b.reason) for b in bodies if isinstance(b, types.StateChange)]


@pytest.fixture
def driven(store: Store, resolved: Resolved) -> Driven:
    return Driven(store, resolved)


def test_every_state_is_reached_and_every_transition_leads_somewhere(store: Store, resolved: Resolved) -> None:
    for state in S:
        Driven(store, resolved).to(state)
    assert set(TRANSITIONS) == set(S)
    assert all(set(after) <= set(S) for after in TRANSITIONS.values())
    assert {state for state, after in TRANSITIONS.items() if not after} == {s for s in S if s.ended}


# What each state makes of each request; None: refused, and nothing changes.
ANSWERS: dict[S, tuple[S | None, S | None, S | None]] = {
    #              pause        resume     cancel
    S.VALIDATING: (S.PAUSED, None, S.CANCELLED),
    S.QUEUED: (S.PAUSED, None, S.CANCELLED),
    S.STARTING: (S.PAUSING, None, S.CANCELLING),
    S.RUNNING: (S.PAUSING, None, S.CANCELLING),
    S.PAUSING: (S.PAUSING, None, S.CANCELLING),
    S.PAUSED: (S.PAUSED, S.QUEUED, S.CANCELLED),
    S.RECOVERING: (S.PAUSED, None, S.CANCELLED),
    S.EVALUATING: (None, None, S.CANCELLING),
    S.CANCELLING: (None, None, S.CANCELLING),
    S.SUCCEEDED: (None, None, None),
    S.CANCELLED: (None, None, None),
    S.FAILED: (None, None, None),
}


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("request_index", [0, 1, 2], ids=["pause", "resume", "cancel"])
def test_what_a_state_makes_of_a_request(store: Store, resolved: Resolved, state: S, request_index: int) -> None:
    driven = Driven(store, resolved).to(state)
    before, events = driven.job, store.events(driven.id, 0)
    ask = (store.pause, store.resume, store.cancel)[request_index]
    wanted = ANSWERS[state][request_index]
    if wanted is None:
        with pytest.raises(FailedPrecondition, match=f"jobs/{driven.id} "):
            ask(driven.id, "a caller asks")
        assert driven.job == before
        assert store.events(driven.id, 0) == events
    else:
        assert ask(driven.id, "a caller asks").state is wanted
        assert len(store.events(driven.id, 0)) == len(events) + (wanted is not state)


def test_a_paused_job_goes_on_where_it_was(driven: Driven) -> None:
    driven.to(S.RUNNING)
    driven.store.pause(driven.id, "asked")
    digest = driven.checkpoint(7)
    assert driven.report(types.Stopped()).state is S.PAUSED
    driven.store.resume(driven.id, "asked")
    driven.begin()
    assert (driven.job.attempt, driven.job.checkpoint_digest) == (2, digest)


def test_a_worker_that_dies_while_it_pauses_has_paused(driven: Driven) -> None:
    driven.to(S.PAUSING)
    assert driven.store.lose_attempt(driven.id, 1, "lost").state is S.PAUSED  # type: ignore[union-attr]


def test_a_worker_past_its_last_step_is_not_paused(driven: Driven) -> None:
    driven.to(S.PAUSING)
    assert driven.report(types.EvaluationStarted()).state is S.EVALUATING
    assert driven.reasons()[-1][1] == "all steps are done: there is nothing left to pause"
    assert driven.report(EVALUATION, types.Done("b" * 64)).state is S.SUCCEEDED


def test_the_time_with_a_worker_adds_up(driven: Driven) -> None:
    driven.to(S.RECOVERING)
    first = driven.job.used_seconds
    assert first > 0
    assert driven.job.training_seconds(types.now()) == first
    driven.begin()
    driven.store.lose_attempt(driven.id, 2, "lost")
    assert driven.job.used_seconds > first


def test_cancelling_keeps_the_work_that_is_asked_for(driven: Driven) -> None:
    driven.to(S.RUNNING)
    assert driven.store.cancel(driven.id, "asked", keep=True).state is S.CANCELLING
    driven.checkpoint(5)
    job = driven.report(types.EvaluationStarted(), EVALUATION, types.Done("b" * 64))
    assert (job.state, job.model_version) == (S.CANCELLED, "models/mood/versions/1")
    assert driven.store.version("mood", 1).bundle_digest == "b" * 64


def test_work_that_is_to_be_kept_survives_its_worker(driven: Driven) -> None:
    driven.to(S.RUNNING).checkpoint(5)
    driven.store.cancel(driven.id, "asked", keep=True)
    lost = driven.store.lose_attempt(driven.id, 1, "lost")
    assert lost is not None
    assert (lost.state, lost.finishing) == (S.RECOVERING, "CANCELLED")
    driven.begin()
    driven.report(types.Hello(2))
    assert driven.report(types.EvaluationStarted(), EVALUATION, types.Done("b" * 64)).state is S.CANCELLED


def test_a_second_thought_drops_what_was_to_be_kept(driven: Driven) -> None:
    driven.to(S.RUNNING).checkpoint(5)
    driven.store.cancel(driven.id, "asked", keep=True)
    driven.store.cancel(driven.id, "asked again", keep=False)
    assert driven.report(types.EvaluationStarted(), EVALUATION, types.Done("b" * 64)).state is S.CANCELLED
    assert driven.job.model_version == ""
    assert driven.store.models() == []


@pytest.mark.parametrize("state", [S.PAUSED, S.RECOVERING, S.QUEUED])
def test_work_without_a_worker_waits_for_one_that_stores_it(driven: Driven, state: S) -> None:
    driven.to(S.RUNNING).checkpoint(5)
    if state is S.RECOVERING:
        driven.store.lose_attempt(driven.id, 1, "lost")
    else:
        driven.store.pause(driven.id, "asked")
        driven.report(types.Stopped())
    if state is S.QUEUED:
        driven.store.resume(driven.id, "asked")
    job = driven.store.cancel(driven.id, "asked", keep=True)
    assert (job.state, job.finishing) == (S.QUEUED, "CANCELLED")


def test_without_a_checkpoint_there_is_nothing_to_keep(driven: Driven) -> None:
    driven.to(S.QUEUED)
    assert driven.store.cancel(driven.id, "asked", keep=True).state is S.CANCELLED
    assert driven.reasons()[-1][1] == "asked; there was no checkpoint to keep"


def test_a_budget_that_is_used_up_makes_a_version_of_the_best(store: Store, resolved: Resolved) -> None:
    driven = Driven(store, resolved, budget=types.Budget(training_seconds=60)).to(S.RUNNING)
    best = driven.checkpoint(5, 0.4)
    driven.checkpoint(10, 0.9)
    store.use_up(driven.id, FailureKind.BUDGET)
    assert (driven.job.state, driven.job.best_digest, driven.job.best_loss) == (S.RUNNING, best, 0.4)
    job = driven.report(types.EvaluationStarted(), EVALUATION, types.Done("b" * 64))
    assert job.state is S.FAILED
    assert job.failure is not None
    assert job.failure.kind is FailureKind.BUDGET
    assert job.failure.message.startswith("the budget of 60 s of training is used up after ")
    assert job.failure.message.endswith("s with a worker: models/mood/versions/1 was made of the best checkpoint")
    assert job.model_version == "models/mood/versions/1"


def test_a_budget_that_is_used_up_too_early_leaves_nothing(store: Store, resolved: Resolved) -> None:
    driven = Driven(store, resolved, budget=types.Budget(training_seconds=1)).to(S.RUNNING)
    store.use_up(driven.id, FailureKind.BUDGET)
    job = store.lose_attempt(driven.id, 1, "lost")
    assert job is not None
    assert job.failure is not None
    assert (job.state, job.failure.kind) == (S.FAILED, FailureKind.BUDGET)
    assert "before the first checkpoint: nothing came of it" in job.failure.message


@pytest.mark.parametrize("state", [S.CANCELLING, S.EVALUATING, S.SUCCEEDED, S.CANCELLED, S.FAILED])
def test_a_budget_does_not_touch_what_ends_anyway(store: Store, resolved: Resolved, state: S) -> None:
    driven = Driven(store, resolved).to(state)
    before = driven.job
    assert store.use_up(driven.id, FailureKind.BUDGET) == before


def test_what_is_being_finished_is_not_paused(store: Store, resolved: Resolved) -> None:
    driven = Driven(store, resolved, budget=types.Budget(deadline_seconds=60)).to(S.RUNNING)
    driven.store.use_up(driven.id, FailureKind.TIMEOUT)
    with pytest.raises(FailedPrecondition, match="is being finished"):
        driven.store.pause(driven.id, "asked")


@pytest.mark.parametrize("state", [s for s in S if s in ACTIVE])
def test_a_lost_worker_never_loses_the_job(store: Store, resolved: Resolved, state: S) -> None:
    driven = Driven(store, resolved).to(state)
    lost = store.lose_attempt(driven.id, 1, "lost")
    assert lost is not None
    assert lost.state is {S.PAUSING: S.PAUSED, S.CANCELLING: S.CANCELLED}.get(state, S.RECOVERING)


def test_a_dataset_in_use_is_not_deleted(registry: Store, resolved: Resolved) -> None:
    driven = Driven(registry, resolved).to(S.QUEUED)
    with pytest.raises(FailedPrecondition, match=f"jobs/{driven.id} works on datasets/rows: cancel it") as caught:
        registry.delete_dataset("rows")
    assert caught.value.reason == "DATASET_IN_USE"
    assert registry.dataset("rows").row_count == 40
    registry.cancel(driven.id, "asked")
    assert registry.delete_dataset("rows").id == "rows"
    assert registry.datasets() == []


@pytest.mark.parametrize("kind", [FailureKind.INFRA, FailureKind.CODE])
def test_work_that_is_to_be_kept_and_fails_for_good_is_cancelled(
    driven: Driven, store: Store, kind: FailureKind
) -> None:
    store.max_lost = 1
    driven.to(S.RUNNING).checkpoint(5)
    store.cancel(driven.id, "asked", keep=True)
    if kind is FailureKind.INFRA:
        store.lose_attempt(driven.id, 1, "its process is gone")
    else:
        driven.report(types.Failure(kind, "its process is gone"))
    last, reason = driven.reasons()[-1]
    assert last is driven.job.state is S.CANCELLED
    assert reason.startswith("its process is gone")


@pytest.mark.parametrize("state", [s for s in S if not s.ended])
def test_a_job_of_any_state_can_be_given_up(store: Store, resolved: Resolved, state: S) -> None:
    driven = Driven(store, resolved).to(state)
    store.give_up(driven.id)
    assert driven.job.state is (S.CANCELLED if state is S.CANCELLING else S.FAILED)
