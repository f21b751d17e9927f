"""Which jobs a tracker has still something to hear of, and who tells it; on SQLite and PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import postgres
from support.tracked_jobs import StoredJob, judged, progress
from symbiont.training import types
from symbiont.training.store import News, Store
from symbiont.training.types import Inputs

INPUTS = Inputs("a" * 64, "b" * 64, "c" * 64, "", "mean")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/x.db" if request.param == "sqlite" else request.getfixturevalue("server")
    store = Store(url)
    if store.shared:
        from symbiont.training.store import tables

        with store._engine.begin() as db:
            for table in reversed(tables.metadata.sorted_tables):
                db.execute(table.delete())
    store.track_new_jobs("book")
    yield store
    store.close()


def untold(store: Store, owner: str = "me", tracker: str = "book") -> list[News]:
    store.track_new_jobs(tracker)
    return store.untold(tracker, owner)


def test_a_job_has_news_from_its_start_until_all_is_told(store: Store) -> None:
    job = StoredJob(store, INPUTS)
    assert untold(store) == []
    job.start()
    assert untold(store) == [News(job.id, 0, False)]
    assert store.begin_telling("book", job.id, "me", 60)
    assert store.told("book", job.id, "me", 3)
    assert untold(store) == []
    job.say(progress(1))
    assert untold(store) == [News(job.id, 3, False)]
    job.finish()
    assert store.told("book", job.id, "me", store.job(job.id).last_event)
    # Its end must still be said.
    assert untold(store) == [News(job.id, store.job(job.id).last_event, True)]
    store.told_all("book", job.id, "me")
    assert untold(store) == []
    store.track_new_jobs("book")
    assert untold(store) == []


def test_a_new_tracker_begins_with_what_is_open(store: Store) -> None:
    StoredJob(store, INPUTS, 1).start().finish()
    running, waiting = StoredJob(store, INPUTS, 2).start(), StoredJob(store, INPUTS, 3)
    assert [news.job for news in untold(store, tracker="late")] == [running.id]
    waiting.start()
    assert [news.job for news in untold(store, tracker="late")] == [running.id, waiting.id]


def test_a_lease_keeps_the_others_away_until_it_has_run_out(store: Store) -> None:
    job = StoredJob(store, INPUTS).start()
    store.track_new_jobs("book")
    assert store.begin_telling("book", job.id, "me", 60)
    assert untold(store, "other") == []
    assert not store.begin_telling("book", job.id, "other", 60)
    assert not store.told("book", job.id, "other", 3)
    # Another tracker's is another one's.
    assert store.keep_telling("me", 60) == {("book", job.id)}
    assert store.keep_telling("other", 60) == set()
    store.keep_telling("me", -1)
    assert [news.job for news in untold(store, "other")] == [job.id]
    assert store.begin_telling("book", job.id, "other", 60)
    assert not store.told("book", job.id, "me", 3)
    store.told_all("book", job.id, "me")
    assert [news.job for news in untold(store, "other")] == [job.id]


def test_what_is_given_up_is_free_at_once(store: Store) -> None:
    job = StoredJob(store, INPUTS).start()
    store.track_new_jobs("book")
    assert store.begin_telling("book", job.id, "me", 600)
    store.stop_telling("book", "me")
    assert store.begin_telling("book", job.id, "other", 60)
    # Who is alone waits for nobody.
    assert store.begin_telling("book", job.id, "me", 60, alone=True)


def test_many_at_once_get_a_job_once(store: Store) -> None:
    jobs = [StoredJob(store, INPUTS, number).start() for number in range(5)]
    got: list[tuple[str, str]] = []

    def tell(owner: str) -> None:
        store.track_new_jobs("book")
        got.extend((job.id, owner) for job in jobs if store.begin_telling("book", job.id, owner, 60))

    threads = [threading.Thread(target=tell, args=[f"owner-{number}"]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job for job, _ in got) == sorted(job.id for job in jobs)


def test_new_jobs_are_noticed_while_others_end(store: Store) -> None:
    # Rows are added while jobs are locked: nobody may wait for the other.
    jobs = [StoredJob(store, INPUTS, number).start() for number in range(6)]
    stopping = threading.Event()

    def notice() -> None:
        number = 0
        while not stopping.is_set():
            store.track_new_jobs(f"tracker-{number}")
            number += 1

    thread = threading.Thread(target=notice)
    thread.start()
    for job in jobs:
        job.finish()
    stopping.set()
    thread.join()
    assert {store.job(job.id).state for job in jobs} == {types.JobState.SUCCEEDED}


def test_the_step_of_a_job_is_that_of_its_attempt(store: Store) -> None:
    job = StoredJob(store, INPUTS).start()
    job.say(progress(2), types.CheckpointSaved(4, "c" * 64), judged(6, 0.5), types.LogLine("x"))
    job.lose().start().say(types.LogLine("resuming"), progress(5))
    found = [store.steps_at(job.id, event.id) for event in job.events]
    kinds = [type(event.body).__name__ for event in job.events]
    assert list(zip(kinds, found, strict=True)) == [
        ("StateChange", (0, 0)),
        ("StateChange", (0, 0)),
        ("StateChange", (0, 0)),
        ("Progress", (2, 0)),
        ("CheckpointSaved", (4, 4)),
        ("Metrics", (6, 4)),
        ("LogLine", (6, 4)),
        ("StateChange", (6, 4)),
        ("StateChange", (4, 4)),
        ("StateChange", (4, 4)),
        ("LogLine", (4, 4)),
        ("Progress", (5, 4)),
    ]
    assert store.steps_at(job.id, 0) == (0, 0)
