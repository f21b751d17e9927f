"""Every tracker is told of every job once and in order, whatever fails, stops or is killed in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.tracked_jobs import StoredJob, curves, judged, progress
from support.waiting import until
from symbiont.training import types
from symbiont.training.store import Store
from symbiont.training.tracking import Run, Tracker, follower
from symbiont.training.tracking.follower import Telling
from symbiont.training.tracking.tensorboard import TensorBoard
from symbiont.training.tracking.tracking import Tracking
from symbiont.training.types import Event, Inputs, Job, JobState

ME = Telling("me", alone=True, every=0.01, retry_seconds=0.01)


class Book(Tracker):
    """A tracker that keeps what it was told, and fails when the test says so."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.told: list[tuple[str, int, int]] = []
        self.ended: dict[str, JobState] = {}
        self.closed: list[str] = []
        self.stopped = 0
        # What is raised at an event.
        self.fails: Callable[[str, int], bool] = lambda job, event: False

    def begin(self, job: Job, after: int) -> Run:
        self.begun.append((job.id, after))
        return Page(self, job.id, after)

    def close(self) -> None:
        self.stopped += 1

    def events(self, job: str) -> list[int]:
        return [event for name, event, _ in self.told if name == job]


class Page(Run):
    """A job in a book."""

    def __init__(self, book: Book, job: str, after: int) -> None:
        self._book = book
        self._job = job
        self._position = after

    @property
    def position(self) -> int:
        return self._position

    def record(self, event: Event, step: int) -> None:
        if self._book.fails(self._job, event.id):
            raise ConnectionError("the server is away")
        self._book.told.append((self._job, event.id, step))
        self._position = event.id

    def flush(self) -> None:
        pass

    def end(self, job: Job) -> None:
        if self._book.fails(self._job, 0):
            raise ConnectionError("the server is away")
        self._book.ended[job.id] = job.state

    def close(self) -> None:
        self._book.closed.append(self._job)


@pytest.fixture
def inputs(resolved: tuple[Any, Inputs]) -> Inputs:
    return resolved[1]


@pytest.fixture
def followed(registry: Store) -> Store:
    """A store of which trackers have known since before there were jobs."""
    for name in ("book", "bad", "good", "tensorboard"):
        registry.track_new_jobs(name)
    return registry


@asynccontextmanager
async def running(store: Store, telling: Telling = ME, **trackers: Tracker) -> AsyncIterator[list[str]]:
    """Tracks while the block runs; yields the names of trackers as they fail."""
    failures: list[str] = []
    stopping = asyncio.Event()
    task = asyncio.create_task(Tracking(store, trackers, telling, failures.append).run(stopping))
    try:
        yield failures
    finally:
        stopping.set()
        await asyncio.wait_for(task, 60)


async def test_a_job_is_told_from_its_start_to_its_end(followed: Store, inputs: Inputs) -> None:
    book = Book()
    async with running(followed, book=book):
        job = StoredJob(followed, inputs)
        await asyncio.sleep(0.1)
        # One that waits is not shown yet.
        assert book.begun == []
        job.start().say(progress(1))
        await until(lambda: len(book.told) == 4)
        job.say(types.CheckpointSaved(1, "c" * 64), progress(2)).finish()
        await until(lambda: job.id in book.ended)
        await until(lambda: followed.untold("book", "me", alone=True) == [])
    ids = [event.id for event in job.events]
    assert book.events(job.id) == ids == list(range(1, len(ids) + 1))
    assert [step for _, event, step in book.told if event > 3] == [1, 1, 2, 2, 2, 2]
    assert book.begun == [(job.id, 0)]
    assert book.ended == {job.id: JobState.SUCCEEDED}
    assert book.stopped == 1


async def test_a_job_that_never_started_is_told_at_its_end(followed: Store, inputs: Inputs) -> None:
    book = Book()
    job = StoredJob(followed, inputs)
    async with running(followed, book=book):
        followed.validated(job.id, types.Failure(types.FailureKind.DATA, "it is gone"))
        await until(lambda: book.ended == {job.id: JobState.FAILED})
    assert book.events(job.id) == [1]


async def test_jobs_that_ended_before_are_left_alone(registry: Store, inputs: Inputs) -> None:
    old = StoredJob(registry, inputs, 1).start().finish()
    paused = StoredJob(registry, inputs, 2).start().say(progress(1))
    book, late = Book(), Book()
    async with running(registry, book=book):
        await until(lambda: len(book.events(paused.id)) == 4)
        new = StoredJob(registry, inputs, 3).start().finish()
        await until(lambda: new.id in book.ended)
    assert book.events(old.id) == []
    # A tracker that is chosen later begins with what is open then.
    async with running(registry, book=book, late=late):
        await until(lambda: len(late.events(paused.id)) == 4)
    assert late.events(old.id) == late.events(new.id) == []
    assert len(book.events(new.id)) == len(new.events)


async def test_what_ended_while_nobody_tracked_is_told_later(followed: Store, inputs: Inputs) -> None:
    book = Book()
    job = StoredJob(followed, inputs).start().finish()
    async with running(followed, book=book):
        await until(lambda: job.id in book.ended)
    assert book.events(job.id) == [event.id for event in job.events]


async def test_a_restart_in_the_middle_goes_on(registry: Store, inputs: Inputs, tmp_path: Path) -> None:
    book = Book()
    job = StoredJob(registry, inputs).start().say(progress(1), types.CheckpointSaved(1, "c" * 64), progress(2))
    for life in range(4):
        async with running(registry, book=book, tensorboard=TensorBoard(tmp_path)):
            await until(lambda: len(book.events(job.id)) == len(job.events))
        job.lose().start().say(progress(2, float(life)))
    job.finish()
    async with running(registry, book=book, tensorboard=TensorBoard(tmp_path)):
        await until(lambda: job.id in book.ended)
        await until(lambda: registry.untold("tensorboard", "me", alone=True) == [])
    assert book.events(job.id) == [event.id for event in job.events]
    # After a restart too, the steps go back to the checkpoint.
    assert [step for _, event, step in book.told][-7:] == [2, 1, 1, 2, 2, 2, 2]
    assert curves(tmp_path / job.id)["train/loss"] == [(1, 0.5), (2, 3.0)]


async def test_a_tracker_that_fails_hurts_nobody(
    followed: Store, inputs: Inputs, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = Book(), Book()
    bad.fails = lambda job, event: True
    jobs = [StoredJob(followed, inputs, number).start() for number in (1, 2)]
    async with running(followed, bad=bad, good=good) as failures:
        for job in jobs:
            job.say(progress(1)).finish()
        await until(lambda: len(good.ended) == 2)
        await until(lambda: len(failures) > 3)
        assert set(failures) == {"bad"}
        assert bad.ended == {}
        bad.fails = lambda job, event: False
        await until(lambda: len(bad.ended) == 2)
    for job in jobs:
        assert bad.events(job.id) == good.events(job.id) == [event.id for event in job.events]
        assert job.store.job(job.id).state is JobState.SUCCEEDED
    told = capsys.readouterr().out
    # Once, though it failed on two jobs and again and again.
    assert told.count("a tracker fails, and is tried again") == 1
    assert "ConnectionError: the server is away" in told
    assert told.count("the tracker works again") == 1


async def test_one_job_that_a_tracker_fails_on_holds_up_no_other(followed: Store, inputs: Inputs) -> None:
    book = Book()
    bad, good = (StoredJob(followed, inputs, number).start().say(progress(1)).finish() for number in (1, 2))
    book.fails = lambda job, event: job == bad.id and event == 4
    async with running(followed, Telling("me", alone=True, every=0.01, retry_seconds=60), book=book) as failures:
        await until(lambda: good.id in book.ended)
        assert failures == ["book"]
    assert book.events(good.id) == [event.id for event in good.events]
    assert book.events(bad.id) == [1, 2, 3]


async def test_a_failed_end_is_told_again(followed: Store, inputs: Inputs) -> None:
    book = Book()
    async with running(followed, book=book) as failures:
        book.fails = lambda job, event: event == 0
        job = StoredJob(followed, inputs).start().finish()
        await until(lambda: len(failures) > 1)
        book.fails = lambda job, event: False
        await until(lambda: job.id in book.ended)
    assert book.events(job.id) == [event.id for event in job.events]


async def test_long_jobs_are_told_page_by_page(
    followed: Store, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "PAGE", 4)
    book = Book()
    jobs = [StoredJob(followed, inputs, number).start() for number in (1, 2)]
    for job in jobs:
        job.say(*(progress(step) for step in range(1, 30))).finish()
    # All of it in one look, whenever the next one would be.
    async with running(followed, Telling("me", alone=True, every=600), book=book):
        await until(lambda: len(book.ended) == 2)
    for job in jobs:
        assert book.events(job.id) == [event.id for event in job.events]
    # In turns: a long job keeps no other waiting.
    assert [name for name, _, _ in book.told[:12]] == [jobs[0].id] * 4 + [jobs[1].id] * 4 + [jobs[0].id] * 4


async def test_a_paused_job_keeps_nothing_open(followed: Store, inputs: Inputs) -> None:
    book = Book()
    async with running(followed, book=book):
        job = StoredJob(followed, inputs).start().say(progress(1))
        followed.pause(job.id, "a caller paused it")
        job.say(types.CheckpointSaved(1, "c" * 64), types.Stopped())
        await until(lambda: book.closed == [job.id])
        followed.resume(job.id, "a caller resumed it")
        job.start().say(judged(1, 0.5)).finish()
        await until(lambda: job.id in book.ended)
    assert [name for name, _ in book.begun] == [job.id] * 2
    assert book.events(job.id) == [event.id for event in job.events]


async def test_two_on_one_database_tell_of_each_job_once(registry: Store, inputs: Inputs, tmp_path: Path) -> None:
    other = Store(f"sqlite:///{tmp_path}/symbiont.db")
    books = Book(), Book()
    first = Telling("first", alone=False, every=0.01, lease_seconds=60)
    second = Telling("second", alone=False, every=0.01, lease_seconds=60)
    async with running(registry, first, book=books[0]), running(other, second, book=books[1]):
        jobs = [StoredJob(registry, inputs, number).start() for number in range(8)]
        for job in jobs:
            job.say(*(progress(step) for step in range(1, 6)))
            await asyncio.sleep(0.02)
            job.finish()
        await until(lambda: len(books[0].ended) + len(books[1].ended) == 8)
    other.close()
    for job in jobs:
        told = [book.events(job.id) for book in books]
        assert sorted(told, key=len) == [[], [event.id for event in job.events]]


async def test_who_stops_leaves_his_jobs_to_the_other_at_once(registry: Store, inputs: Inputs) -> None:
    books = Book(), Book()
    first = Telling("first", alone=False, every=0.01, lease_seconds=600)
    job = StoredJob(registry, inputs).start().say(progress(1))
    async with running(registry, first, book=books[0]):
        await until(lambda: len(books[0].told) == 4)
    job.say(progress(2))
    async with running(registry, Telling("second", alone=False, every=0.01), book=books[1]):
        await until(lambda: books[1].events(job.id) == [5])


async def test_who_was_too_slow_notices_that_another_tells(registry: Store, inputs: Inputs) -> None:
    slow, quick = Book(), Book()
    job = StoredJob(registry, inputs).start().say(progress(1))
    short = Telling("slow", alone=False, every=0.01, lease_seconds=0.2)
    async with running(registry, short, book=slow):
        # Told, and on record as told: what is not would be told again.
        await until(lambda: slow.events(job.id) == [1, 2, 3, 4] and not registry.untold("book", "slow"))
        # As if it had hung for longer than its lease.
        assert registry.begin_telling("book", job.id, "quick", 60, alone=True)
        await until(lambda: slow.closed == [job.id])
        job.say(progress(2))
        await asyncio.sleep(0.1)
        assert slow.events(job.id) == [1, 2, 3, 4]
        async with running(registry, Telling("quick", alone=False, every=0.01), book=quick):
            await until(lambda: quick.events(job.id) == [5])
