"""Jobs: specs are checked against the registry; watchers miss nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.language_models import save_language_model
from support.registry import tiny_spec, upload
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound
from symbiont.training import bases, types
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier
from symbiont.training.resolving import resolve
from symbiont.training.spec import AdaLoraMethod, HoulsbyMethod
from symbiont.training.store import Places, Store
from symbiont.training.types import JobState, WorkerReport


@pytest.fixture
def jobs(registry: Store, artifacts: ArtifactStore) -> Jobs:
    return Jobs(registry, artifacts, Notifier())


async def start(jobs: Jobs) -> str:
    """A job that has a worker."""
    job = await jobs.create(tiny_spec(), "")
    assert (await jobs.validate(job.id)).state is JobState.QUEUED
    started = await jobs.claim("me", 60, Places(10))
    assert started is not None
    await jobs.take(WorkerReport(job.id, 1, 0, types.Hello(1)))
    return job.id


async def test_a_job_is_checked_and_not_added(jobs: Jobs, registry: Store) -> None:
    checked = await jobs.check(tiny_spec(hyperparameters={"selection_metric": "primary"}))
    assert checked.id == ""
    assert checked.spec.hyperparameters.selection_metric == "accuracy"
    assert checked.spec.hyperparameters.learning_rate == 0.001
    for spec, terms in (
        (tiny_spec(hyperparameters={"max_tokens": 4096}), types.Terms()),
        (tiny_spec(), types.Terms(priority=101)),
        (tiny_spec(), types.Terms(budget=types.Budget(training_seconds=float("nan")))),
    ):
        with pytest.raises(InvalidArgument):
            await jobs.check(spec, terms)
    assert registry.jobs(types.JobQuery(), None, 10) == []


async def test_a_job_says_the_request_id_that_it_was_made_with(jobs: Jobs) -> None:
    made = await jobs.create(tiny_spec(), "study/lora-1")
    assert (await jobs.get(made.id)).request_id == made.request_id == "study/lora-1"
    assert (await jobs.create(tiny_spec(), "")).request_id == ""


def test_a_spec_is_completed_from_what_it_names(registry: Store) -> None:
    spec, inputs = resolve(tiny_spec(), registry)
    assert spec.lora is not None
    assert spec.classification is not None
    assert (spec.lora.target_modules, spec.lora.alpha) == (("query", "value"), 16.0)
    assert spec.classification.labels == ("bad", "good")
    assert spec.hyperparameters.max_tokens == 64
    assert inputs.base_digest == registry.base("tiny").digest
    assert resolve(tiny_spec(head_only={}), registry)[0].lora is None
    adalora = resolve(tiny_spec(adalora={"rank": 5}), registry)[0].adalora
    assert adalora == AdaLoraMethod(rank=5, initial_rank=8, alpha=16, target_modules=("query", "value"))
    houlsby = resolve(tiny_spec(houlsby={}), registry)[0].houlsby
    assert houlsby == HoulsbyMethod(size=32, target_modules=("output.dense",))
    # The virtual tokens are some of those that the base takes.
    assert resolve(tiny_spec(prefix={}), registry)[0].hyperparameters.max_tokens == 48


@pytest.mark.parametrize(
    ("method", "rate"),
    [("head_only", 1e-2), ("lora", 1e-3), ("adalora", 5e-3), ("houlsby", 2e-3), ("prefix", 1e-2), ("full", 5e-5)],
)
def test_the_learning_rate_is_the_methods_unless_it_is_said(registry: Store, method: str, rate: float) -> None:
    assert resolve(tiny_spec(**{method: {}}), registry)[0].hyperparameters.learning_rate == rate
    said = tiny_spec(hyperparameters={"learning_rate": 0.3}, **{method: {}})
    assert resolve(said, registry)[0].hyperparameters.learning_rate == 0.3


def test_what_may_be_trained_on_a_base(registry: Store) -> None:
    base = registry.base("tiny")
    assert base.methods == ("HEAD_ONLY", "LORA", "ADALORA", "HOULSBY", "BITFIT", "PREFIX", "FULL")
    assert replace(base, architecture="XLMRobertaForMaskedLM").methods == base.methods
    without_prefix = tuple(method for method in base.methods if method != "PREFIX")
    assert replace(base, architecture="DistilBertModel").methods == without_prefix
    assert replace(base, architecture="bert", modules=()).methods == ("HEAD_ONLY", "PREFIX", "FULL")
    assert replace(base, kind="causal").methods == ()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"base_model": "bases/other"}, NotFound, "bases/other does not exist"),
        ({"dataset": "datasets/other"}, NotFound, "datasets/other does not exist"),
        ({"evaluation_dataset": "datasets/other"}, NotFound, "datasets/other does not exist"),
        ({"evaluation_dataset": "datasets/rows"}, InvalidArgument, r"evaluation_dataset: .*what judges is not learnt"),
        ({"hyperparameters": {"max_tokens": 65}}, InvalidArgument, r"max_tokens: 65 is over the 64 tokens"),
        ({"lora": {"target_modules": ["q_proj"]}}, InvalidArgument, r"target_modules: .*'q_proj'; it has dense, key"),
        ({"adalora": {"target_modules": ["q_proj"]}}, InvalidArgument, r"adalora\.target_modules: .*'q_proj'"),
        ({"houlsby": {"target_modules": ["output.lin"]}}, InvalidArgument, r"houlsby\.target_modules: .*'output\.lin'"),
        ({"prefix": {"virtual_tokens": 57}}, InvalidArgument, r"virtual_tokens: a base of 64 tokens has room for 7"),
        ({"prefix": {}, "hyperparameters": {"max_tokens": 49}}, InvalidArgument, r"virtual_tokens: .* room for 48"),
        ({"classification": {"labels": ["good", "ugly"]}}, InvalidArgument, r"labels: .* has the label 'bad'"),
        ({"evaluation_dataset": "datasets/alien"}, InvalidArgument, r"evaluation_dataset: .*the label 'ugly', unknown"),
        ({"dataset": "datasets/single"}, InvalidArgument, r"holdout_fraction: the label 'rare' .* has one row"),
    ],
)
def test_what_does_not_fit_the_registry_is_refused(
    registry: Store, artifacts: ArtifactStore, change: dict[str, object], kind: type[Exception], message: str
) -> None:
    registry.add_dataset(upload(artifacts, b"text,label\na,good\nb,ugly\n", "alien"))
    registry.add_dataset(upload(artifacts, b"text,label\na,good\nb,good\nc,rare\n", "single"))
    with pytest.raises(kind, match=message):
        resolve(tiny_spec(**change), registry)
    assert registry.jobs(types.JobQuery(), None, 10) == []


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_nothing_is_trained_on_a_language_model(
    registry: Store, artifacts: ArtifactStore, tmp_path: Path, family: str
) -> None:
    save_language_model(tmp_path / "lm", family)
    registry.add_base(bases.register(artifacts, "lm", types.Source("folder", str(tmp_path / "lm")), "", ""))
    assert registry.base("lm").kind in ("causal", "seq2seq")
    with pytest.raises(InvalidArgument, match="nothing is trained on it") as caught:
        resolve(tiny_spec(base_model="bases/lm"), registry)
    assert (caught.value.field, caught.value.reason) == ("training_job.spec.base_model", "NOT_AN_ENCODER")


async def collect(events: AsyncIterator[types.Event]) -> list[types.Event]:
    return [event async for event in events]


async def test_watchers_see_every_event_once_and_can_resume(jobs: Jobs, registry: Store) -> None:
    job = await jobs.create(tiny_spec(), "")
    watchers = [asyncio.create_task(collect(jobs.watch(job.id, after))) for after in (0, 0, 2)]
    await asyncio.sleep(0.05)
    await jobs.validate(job.id)
    await jobs.claim("me", 60, Places())
    reports = [types.Hello(1), types.LogLine("hello"), types.EvaluationStarted()]
    evaluation = types.Evaluation(1, 1.0, 1.0, 0.1, ("bad", "good"), ((1, 0), (0, 0)))
    for seq, report in enumerate([*reports, evaluation, types.Done("b" * 64)]):
        await jobs.take(WorkerReport(job.id, 1, seq, report))
    first, second, resumed = await asyncio.wait_for(asyncio.gather(*watchers), 60)
    assert first == second
    assert [e.id for e in first] == [1, 2, 3, 4, 5, 6, 7]
    assert resumed == first[2:]
    assert await collect(jobs.watch(job.id, 7)) == []
    assert await jobs.events(job.id, 2, 3) == first[2:5]


async def test_a_success_and_a_lost_worker_are_counted_once(registry: Store, artifacts: ArtifactStore) -> None:
    said: list[object] = []
    jobs = Jobs(
        registry, artifacts, Notifier(), succeeded=lambda job: said.append(job.state), lost=lambda: said.append("lost")
    )
    job = await start(jobs)
    for _ in range(2):
        await jobs.lose_attempt(job, 1, "its process is gone")
    assert said == ["lost"]
    await jobs.claim("me", 60, Places(10))
    evaluation = types.Evaluation(1, 1.0, 1.0, 0.1, ("bad", "good"), ((1, 0), (0, 0)))
    reports = [types.Hello(2), types.EvaluationStarted(), evaluation, types.Done("b" * 64), types.Done("b" * 64)]
    for seq, report in zip((0, 1, 2, 3, 3), reports, strict=True):
        await jobs.take(WorkerReport(job, 2, seq, report))
    assert said == ["lost", JobState.SUCCEEDED]


async def test_a_watch_ends_when_the_service_stops(jobs: Jobs) -> None:
    job = await jobs.create(tiny_spec(), "")
    watcher = asyncio.create_task(collect(jobs.watch(job.id, 0)))
    await asyncio.sleep(0.05)
    jobs.feed.stop()
    assert await asyncio.wait_for(watcher, 60) == []


async def test_watching_nothing_is_an_error(jobs: Jobs) -> None:
    with pytest.raises(NotFound):
        await collect(jobs.watch("job-none", 0))
    with pytest.raises(InvalidArgument, match="after_event_id"):
        await collect(jobs.watch("job-none", -1))


async def test_cancelling(jobs: Jobs, registry: Store) -> None:
    waiting = await jobs.create(tiny_spec(), "")
    assert (await jobs.cancel(waiting.id)).state is JobState.CANCELLED
    with pytest.raises(FailedPrecondition, match="has ended: CANCELLED"):
        await jobs.cancel(waiting.id)
    assert (await jobs.cancel(await start(jobs))).state is JobState.CANCELLING


async def test_a_request_id_is_kept_short(jobs: Jobs) -> None:
    with pytest.raises(InvalidArgument, match="request_id"):
        await jobs.create(tiny_spec(), "x" * 129)


@pytest.mark.parametrize("seconds", [10 * 365 * 86400 + 1, 1e12, 3e11, 1e300])
async def test_a_time_that_no_calendar_has_is_refused(jobs: Jobs, seconds: float) -> None:
    for name, budget in (
        ("deadline", types.Budget(deadline_seconds=seconds)),
        ("training_time", types.Budget(training_seconds=seconds)),
    ):
        with pytest.raises(InvalidArgument, match="ten years") as caught:
            await jobs.create(tiny_spec(), "", types.Terms(budget=budget))
        assert caught.value.field == f"training_job.budget.{name}"
    decade = types.Terms(budget=types.Budget(training_seconds=3.1536e8, deadline_seconds=3.1536e8))
    assert (await jobs.create(tiny_spec(), "", decade)).terms == decade
