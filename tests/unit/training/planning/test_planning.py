"""Planning for a caller: what is refused before any work, whose turn it is, and nothing that outlives its caller."""

import asyncio
import json
import shutil
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.registry import tiny_spec
from support.service import fork_server, free_port
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from symbiont.training.checking import plan_key
from symbiont.training.convert import worker_spec_to_json
from symbiont.training.notifier import Notifier
from symbiont.training.planning.planning import Planning, Terms, _read
from symbiont.training.resolving import resolve
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import Failure, FailureKind, Job, PlanStage, WorkerReport

WAITING, READING = PlanStage.WAITING, PlanStage.READING


@pytest.fixture
def notifier() -> Notifier:
    return Notifier()


@pytest.fixture
def make(registry: Store, artifacts: ArtifactStore, notifier: Notifier, tmp_path: Path) -> Callable[..., Planning]:
    """Makes a Planning whose trials wait for tokens that nobody makes."""
    nobody = f"127.0.0.1:{free_port()}"

    def make_spec(job: Job) -> str:
        return worker_spec_to_json(job, str(artifacts.root), nobody, nobody)

    def planning(*, forks: bool = True, **terms: Any) -> Planning:
        on = Terms(**{"threads": 1, **terms})
        forking = fork_server() if forks else None
        return Planning(registry, artifacts, notifier, make_spec, tmp_path / "plans", on, forking)

    return planning


@pytest.fixture
def planning(make: Callable[..., Planning]) -> Planning:
    return make()


def children() -> list[psutil.Process]:
    running = psutil.Process().children(recursive=True)
    return [child for child in running if "symbiont.training.planning" in words(child)]


def words(process: psutil.Process) -> list[str]:
    """Returns a command line; none of what has ended, as a process of another test that nobody has looked after."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def start_job(registry: Store) -> Job:
    """Gives a job a worker, as far as the store knows."""
    job, _ = registry.add_job(*resolve(tiny_spec(), registry), "", "")
    registry.validated(job.id, None)
    return registry.begin_attempt(job.id)


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"base_model": "bases/none"}, NotFound, "spec.base_model"),
        ({"dataset": "datasets/none"}, NotFound, "spec.dataset"),
        ({"evaluation_dataset": "datasets/none"}, NotFound, "spec.evaluation_dataset"),
        ({"hyperparameters": {"max_tokens": 65}}, InvalidArgument, "spec.hyperparameters.max_tokens"),
        ({"lora": {"target_modules": ["none"]}}, InvalidArgument, "spec.lora.target_modules"),
        ({"classification": {"labels": ["good", "fine"]}}, InvalidArgument, "spec.classification.labels"),
        ({"ranks": 17}, InvalidArgument, "spec.ranks"),
        ({"model": None, "derived_base": "bases/own"}, InvalidArgument, "spec.derived_base"),
    ],
)
async def test_what_cannot_be_trained_is_refused_by_name(
    planning: Planning, tmp_path: Path, changes: dict[str, object], error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as caught:
        await anext(planning.plan(tiny_spec(**changes)))
    assert caught.value.field == field  # type: ignore[attr-defined]
    assert children() == []
    assert not (tmp_path / "plans").exists()


async def test_one_at_a_time_and_none_without_its_caller(planning: Planning, registry: Store, tmp_path: Path) -> None:
    first = planning.plan(tiny_spec())
    assert await anext(first) is READING
    (child,) = children()
    second = planning.plan(tiny_spec(head_only={}))
    assert await anext(second) is WAITING
    turn = asyncio.ensure_future(anext(second))
    await asyncio.sleep(0.2)
    assert children() == [child]
    await first.aclose()
    assert not child.is_running()
    assert await turn is READING
    await second.aclose()
    assert children() == []
    assert list((tmp_path / "plans").iterdir()) == []
    for spec in (tiny_spec(), tiny_spec(head_only={})):
        assert registry.planned_seconds(plan_key(*resolve(spec, registry))) is None


async def test_a_trial_computes_steps_in_as_many_parts_as_the_job(planning: Planning, tmp_path: Path) -> None:
    async with aclosing(planning.plan(tiny_spec(hyperparameters={"batch_size": 4, "accumulation_steps": 3}))) as plan:
        assert await anext(plan) is READING
        (file,) = (tmp_path / "plans").glob("*.json")
        assert json.loads(file.read_text())["micro_batches"] == 3


async def test_where_jobs_take_every_place_it_waits_a_while_and_then_stands_back(
    make: Callable[..., Planning], registry: Store
) -> None:
    start_job(registry)
    async with aclosing(make(patience=0.2).plan(tiny_spec())) as plan:
        assert await anext(plan) is WAITING
        assert await anext(plan) is READING
        (child,) = children()
        assert child.cmdline()[-2:] == ["--company", "1"]
        assert child.nice() == psutil.Process().nice() + 5
    # With a place left it begins at once, and stands back for nobody.
    async with aclosing(make(places=2, patience=0.2).plan(tiny_spec())) as plan:
        assert await anext(plan) is READING
        (child,) = children()
        assert child.cmdline()[-2:] == ["--company", "0"]
        assert child.nice() == psutil.Process().nice()


async def test_jobs_elsewhere_take_no_place_here(make: Callable[..., Planning], registry: Store) -> None:
    start_job(registry)
    async with aclosing(make(elsewhere=True).plan(tiny_spec())) as plan:
        assert await anext(plan) is READING


async def test_a_place_that_becomes_free_is_taken(
    make: Callable[..., Planning], registry: Store, notifier: Notifier
) -> None:
    job = start_job(registry)
    async with aclosing(make(patience=600).plan(tiny_spec())) as plan:
        assert await anext(plan) is WAITING
        turn = asyncio.ensure_future(anext(plan))
        await asyncio.sleep(0.2)
        assert children() == []
        registry.take(WorkerReport(job.id, 1, 1, Failure(FailureKind.DATA, "no")))
        notifier.notify(Notifier.QUEUE)
        assert await turn is READING
        (child,) = children()
        assert child.cmdline()[-1] == "0"
    assert children() == []


async def test_a_trial_that_is_killed_is_said_to_be(planning: Planning, registry: Store, tmp_path: Path) -> None:
    async with aclosing(planning.plan(tiny_spec())) as plan:
        assert await anext(plan) is READING
        (child,) = children()
        child.kill()
        with pytest.raises(FailedPrecondition, match="likely for its memory"):
            await anext(plan)
    assert registry.planned_seconds(plan_key(*resolve(tiny_spec(), registry))) is None
    # Its log is all that stays.
    assert [path.suffix for path in (tmp_path / "plans").iterdir()] == [".log"]


async def test_a_trial_that_ends_without_a_word_is_no_plan(planning: Planning) -> None:
    async with aclosing(planning.plan(tiny_spec())) as plan:
        assert await anext(plan) is READING
        (child,) = children()
        child.terminate()
        with pytest.raises(FailedPrecondition, match=r"without a result \(143\); its log: .*\.log"):
            await anext(plan)


@pytest.mark.slow
async def test_rows_that_are_gone_are_said_to_be(make: Callable[..., Planning], artifacts: ArtifactStore) -> None:
    # By a program, as where there is nothing to fork from.
    planning = make(forks=False)
    (dataset,) = artifacts.list("datasets")
    shutil.rmtree(Path(artifacts.root) / "datasets" / dataset)
    with pytest.raises(FailedPrecondition, match=f"the job cannot be tried out: datasets/{dataset}"):
        async for _ in planning.plan(tiny_spec()):
            pass


def test_a_part_that_is_away_may_be_asked_again() -> None:
    with pytest.raises(Unavailable, match="stays away"):
        _read({"away": "the tokenization service stays away"})
    assert _read({"stage": "LOADING"}) is PlanStage.LOADING


def test_a_spec_is_resolved_as_for_a_job(registry: Store) -> None:
    spec: TrainingSpec = tiny_spec()
    assert resolve(spec, registry, under="spec") == resolve(spec, registry)
