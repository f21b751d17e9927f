"""Two controllers on one real PostgreSQL: one is killed, and every job runs exactly once to success.

`make drill` runs it with 200 jobs.
"""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from support.postgres import postgres
from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.tracked_jobs import StoredJob
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import training_job_pb2, training_job_pb2_grpc
from symbiont.training.store import Store
from symbiont.training.types import Inputs

TESTS = Path(__file__).parents[1]
JOBS, PLACES = (200, 6) if os.environ.get("SYMBIONT_PROOFS") == "whole" else (14, 4)


class TrivialTraining(ServiceProcess):
    """A training service whose workers train nothing."""

    def __init__(self, name: str, folder: Path, **settings: object) -> None:
        super().__init__(name, folder, **settings)
        self.see(TESTS)


@pytest.fixture
def url() -> Iterator[str]:
    with postgres() as url:
        yield url


def controllers(folder: Path, url: str, **settings: Any) -> tuple[Suite, ServiceProcess]:
    """Two of them, of which workers know both."""
    first = Suite(folder, TrivialTraining, database_url=url)
    (folder / "second").mkdir()
    second = Suite(folder / "second", TrivialTraining)
    usual = {
        "database_url": url,
        "artifact_root": folder / "artifacts",
        "state_root": folder / "jobs",
        "tokenization_address": first.tokenization.address,
        "controller_address": f"{first.training.address},{second.training.address}",
        "worker_program": f"{sys.executable} -m support.trivial_worker",
        "max_concurrent_jobs": PLACES,
        "poll_seconds": 0.1,
        "lease_seconds": 2,
        **settings,
    }
    for suite in (first, second):
        environment = {f"SYMBIONT_{key.upper()}": str(value) for key, value in usual.items()}
        suite.training._environment |= environment | {"SYMBIONT_RUNS": str(folder / "runs")}
    second.channel.close()
    return first, second.training


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_every_job_runs_once_though_a_controller_is_killed(tmp_path: Path, url: str) -> None:
    suite, second = controllers(tmp_path, url)
    suite.tokenization.start()
    suite.training.start()
    second.start()
    try:
        suite.register(save_base(tmp_path / "tiny"))
        suite.upload("rows", csv_of(labelled_rows(40)))
        names = [suite.create(model=f"models/m{i % 7}").name for i in range(JOBS)]
        other = training_job_pb2_grpc.TrainingJobServiceStub(grpc.insecure_channel(second.address))

        def ended() -> int:
            states = [training_job_pb2.JOB_STATE_SUCCEEDED, training_job_pb2.JOB_STATE_FAILED]
            request = training_job_pb2.ListTrainingJobsRequest(states=states, page_size=1000)
            return len(other.ListTrainingJobs(request).training_jobs)

        until_sync(lambda: ended() >= JOBS // 4, 300)
        suite.training.kill()
        killed, before = time.monotonic(), ended()
        until_sync(lambda: ended() > before + PLACES, 60)
        print(
            f"the other controller had {ended() - before} jobs ended {time.monotonic() - killed:.1f} s after the kill"
        )
        until_sync(lambda: ended() == JOBS, 600)
    finally:
        suite.training.stop()
        second.stop()
        suite.tokenization.stop()
        suite.channel.close()
    examine(url, names, tmp_path / "runs")
    said = {event["event"] for service in (suite.training, second) for event in service.events()}
    assert said & {"unexpected error", "background work failed and begins again"} == set()


def examine(url: str, names: list[str], runs: Path) -> None:
    store = Store(url)
    jobs = [store.job(name.removeprefix("jobs/")) for name in names]
    assert Counter(job.state for job in jobs) == {"SUCCEEDED": len(names)}
    versions = [version for model in store.models() for version in store.versions(model.id)]
    assert sorted(version.job for version in versions) == sorted(job.id for job in jobs)
    for job in jobs:
        events = store.events(job.id, 0, 1000)
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        # One launch, unless the controller was killed between its intent and the launch.
        assert job.attempt in (1, 2)
    through = Counter(line.split()[0] for line in runs.read_text().splitlines())
    assert set(through) <= set(names)
    assert max(through.values()) == 1
    owners = sum(job.attempt for job in jobs)
    print(f"{len(jobs)} jobs, each one version; {owners} attempts, {len(through)} of their workers heard the end")
    assert owners <= len(jobs) + PLACES
    assert all(job.owner == "" for job in store.active())
    store.close()


def test_the_end_of_a_job_waits_for_counting_before_it_locks_the_job(url: str) -> None:
    """Whoever counts may touch the job: two that wait for each other would be ended by the database."""
    store = Store(url)
    job = StoredJob(store, Inputs("a" * 64, "b" * 64, "c" * 64, "", "mean")).start()
    with store._write() as db:
        taking = threading.Thread(target=job.finish)
        taking.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        until_sync(lambda: db.execute(waiting).scalar() == 1)
        update = text("UPDATE jobs SET heard_time = heard_time WHERE id = :id")
        db.execute(text("SET LOCAL lock_timeout = '5s'"))
        assert db.execute(update, {"id": job.id}).rowcount == 1
    taking.join()
    assert store.job(job.id).model_version
    store.close()


@pytest.mark.slow
def test_a_change_on_one_controller_is_seen_by_the_watchers_of_the_other(tmp_path: Path, url: str) -> None:
    suite, second = controllers(tmp_path, url, worker_program=f"{sys.executable} -c 'import time; time.sleep(600)'")
    suite.tokenization.start()
    suite.training.start()
    second.start()
    try:
        suite.register(save_base(tmp_path / "tiny"))
        suite.upload("rows", csv_of(labelled_rows(40)))
        name = suite.create(model="models/m").name
        other = training_job_pb2_grpc.TrainingJobServiceStub(grpc.insecure_channel(second.address))
        events = other.WatchTrainingJob(training_job_pb2.WatchTrainingJobRequest(name=name), timeout=60)
        assert next(events).state_change.new_state == training_job_pb2.JOB_STATE_QUEUED
        assert next(events).state_change.new_state == training_job_pb2.JOB_STATE_STARTING
        suite.jobs.CancelTrainingJob(training_job_pb2.CancelTrainingJobRequest(name=name))
        assert next(events).state_change.new_state == training_job_pb2.JOB_STATE_CANCELLING
        events.cancel()
    finally:
        suite.training.stop()
        second.stop()
        suite.tokenization.stop()
        suite.channel.close()
        for process in Path(tmp_path / "jobs").glob("*/attempt-*"):
            kill_worker(process)


def kill_worker(folder: Path) -> None:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if str(folder / "spec.json") in (process.info["cmdline"] or []):
            process.kill()
