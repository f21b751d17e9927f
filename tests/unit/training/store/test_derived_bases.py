"""A job that makes a base registers it when it ends, and nobody else gets the name in between."""

from dataclasses import replace

import pytest

from support.registry import tiny_spec
from symbiont.common.errors import AlreadyExists
from symbiont.training import types
from symbiont.training.resolving import resolve
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import FailureKind, Inputs, JobState, WorkerReport

EVALUATION = types.Evaluation(2, 0.5, 0.0, 0.7, (), ())
REPORTS = (types.Hello(1), types.EvaluationStarted(), EVALUATION, types.Done("", "d" * 64, parameter_count=77))
S = JobState
Resolved = tuple[TrainingSpec, Inputs]


@pytest.fixture
def asked(registry: Store) -> Resolved:
    spec, inputs = resolve(tiny_spec(model=None, derived_base="bases/own"), registry)
    return spec, replace(inputs, tokenizer_digest="7" * 64, base_tokenizer_digest=inputs.tokenizer_digest)


def begun(store: Store, asked: Resolved, request: str = "", budget: types.Budget = types.Budget()) -> str:  # noqa: B008, frozen
    job = store.add_job(*asked, request, "d", types.Terms(budget=budget))[0].id
    store.validated(job, None)
    store.begin_attempt(job)
    return job


def report(store: Store, job: str, *reports: types.Report) -> types.Job:
    for seq, message in enumerate(reports):
        store.take(WorkerReport(job, 1, seq, message))
    return store.job(job)


def test_the_base_is_registered_with_its_lineage(registry: Store, asked: Resolved) -> None:
    job = begun(registry, asked)
    ended = report(registry, job, *REPORTS)
    assert (ended.state, ended.derived_base, ended.model_version) == (S.SUCCEEDED, "bases/own", "")
    parent, base = registry.base("tiny"), registry.base("own")
    assert base == replace(
        parent,
        id="own",
        source=types.Source("training_job", f"jobs/{job}"),
        digest="d" * 64,
        tokenizer_digest="7" * 64,
        parameter_count=77,
        parent="tiny",
        parent_digest=parent.digest,
        create_time=base.create_time,
    )
    assert registry.models() == []
    last = registry.events(job, 0)[-1].body
    assert isinstance(last, types.StateChange)
    assert (last.reason, last.model_version) == ("made bases/own", "")
    # Said again, it changes nothing.
    assert report(registry, job, *REPORTS) == ended
    assert [base.id for base in registry.bases()] == ["own", "tiny"]


def test_a_base_may_be_made_of_one_that_was_made(registry: Store, asked: Resolved) -> None:
    report(registry, begun(registry, asked), *REPORTS)
    spec, inputs = resolve(tiny_spec(model=None, base_model="bases/own", derived_base="bases/next"), registry)
    assert (inputs.base_digest, inputs.tokenizer_digest) == ("d" * 64, "7" * 64)
    report(registry, begun(registry, (spec, inputs)), *REPORTS[:-1], types.Done("", "e" * 64, parameter_count=78))
    assert (registry.base("next").parent, registry.base("next").parent_digest) == ("own", "d" * 64)
    assert resolve(tiny_spec(base_model="bases/next"), registry)[1].base_digest == "e" * 64


def test_a_name_is_given_once(registry: Store, asked: Resolved) -> None:
    job = begun(registry, asked, "mine")
    with pytest.raises(AlreadyExists, match=rf"jobs/{job} is about to make bases/own") as caught:
        registry.add_job(*asked, "other", "d")
    assert caught.value.field == "training_job.spec.derived_base"
    report(registry, job, *REPORTS)
    with pytest.raises(AlreadyExists, match=r"derived_base: bases/own exists: choose another name"):
        registry.add_job(*asked, "other", "d")
    # A request that is said again finds its own job.
    assert registry.add_job(*asked, "mine", "d")[0].id == job


def test_the_name_of_a_job_that_came_to_nothing_is_free(registry: Store, asked: Resolved) -> None:
    job = begun(registry, asked)
    registry.cancel(job, "asked", keep=False)
    assert report(registry, job, types.Stopped()).state is S.CANCELLED
    assert begun(registry, asked) != job


def test_work_that_is_kept_is_a_base(registry: Store, asked: Resolved) -> None:
    job = begun(registry, asked)
    registry.cancel(job, "asked", keep=True)
    ended = report(registry, job, *REPORTS)
    assert (ended.state, ended.derived_base) == (S.CANCELLED, "bases/own")
    assert registry.base("own").digest == "d" * 64


def test_a_budget_that_is_used_up_leaves_a_base(registry: Store, asked: Resolved) -> None:
    job = begun(registry, asked, budget=types.Budget(deadline_seconds=1000))
    report(registry, job, types.Hello(1), types.CheckpointSaved(5, "c" * 64, 0.5))
    registry.use_up(job, FailureKind.TIMEOUT)
    for seq, message in enumerate(REPORTS[1:], start=2):
        registry.take(WorkerReport(job, 1, seq, message))
    ended = registry.job(job)
    assert (ended.state, ended.derived_base) == (S.FAILED, "bases/own")
    assert ended.failure is not None
    assert "bases/own was made of the best checkpoint" in ended.failure.message


@pytest.mark.parametrize(("keep", "state"), [(False, S.FAILED), (True, S.CANCELLED)])
def test_a_name_that_was_taken_in_between_ends_the_job(registry: Store, asked: Resolved, keep: bool, state: S) -> None:
    job = begun(registry, asked)
    if keep:
        registry.cancel(job, "asked", keep=True)
    registry.add_base(replace(registry.base("tiny"), id="own"))
    ended = report(registry, job, *REPORTS)
    assert (ended.state, ended.derived_base) == (state, "")
    last = registry.events(job, 0)[-1].body
    assert isinstance(last, types.StateChange)
    assert "bases/own exists with other content, since the job began" in last.reason
    assert registry.base("own").digest == registry.base("tiny").digest
