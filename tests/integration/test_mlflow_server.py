"""The MLflow tracker with a real server, which is killed in between.

`make mlflow` installs the server and runs this; without it everything here is skipped.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.mlflow_server import MLflowServer, needs_mlflow
from support.tracked_jobs import START, StoredJob, evaluation, job, numbered, progress
from support.waiting import until
from symbiont.training.store import Store
from symbiont.training.tracking.follower import Telling
from symbiont.training.tracking.mlflow import EVENT, JOB, MLflow
from symbiont.training.tracking.tracking import Tracking
from symbiont.training.types import Inputs, JobState

pytestmark = [
    pytest.mark.mlflow,
    needs_mlflow,
    pytest.mark.timeout(600),
    # MLflow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
INPUTS = Inputs("a" * 64, "b" * 64, "c" * 64, "", "mean")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    server = MLflowServer(tmp_path_factory.mktemp("mlflow")).start()
    yield server
    server.kill()


def found(uri: str, experiment: str) -> tuple[Any, list[tuple[int, float]]]:
    """Returns the one run of an experiment, and its losses by step."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    return run, sorted((metric.step, metric.value) for metric in losses)


def test_values_are_read_back_and_what_comes_twice_is_there_once(server: MLflowServer) -> None:
    events = numbered(progress(1), progress(2), progress(3), evaluation(0.125))
    first = MLflow(server.uri, "心情").begin(job(), 0)
    for event in events[:2]:
        first.record(event, event.id)
    # Killed after the numbers of the page, before the tag.
    first._client.log_batch(first._id, metrics=first._metrics)  # type: ignore[attr-defined]
    second = MLflow(server.uri, "心情").begin(job(), 2)
    assert second.position == 0
    for event in events:
        second.record(event, event.id)
    second.flush()
    second.end(job(state=JobState.SUCCEEDED, model_version="models/m/versions/1"))
    run, losses = found(server.uri, "心情")
    assert losses == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "心情 job-1")
    assert run.info.start_time == START.timestamp() * 1000
    assert (run.data.tags[JOB], run.data.tags[EVENT]) == ("job-1", "4")
    assert run.data.params["model"] == "models/心情"
    assert run.data.metrics["evaluation/loss"] == 0.125


async def test_a_server_that_is_away_gets_everything_when_it_is_back(
    server: MLflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = Store(f"sqlite:///{tmp_path}/x.db")
    store.track_new_jobs("mlflow")
    failures: list[str] = []
    stopping = asyncio.Event()
    telling = Telling("me", alone=True, every=0.1, retry_seconds=0.5)
    tracking = Tracking(store, {"mlflow": MLflow(server.uri, "away")}, telling, failures.append)
    task = asyncio.create_task(tracking.run(stopping))
    stored = StoredJob(store, INPUTS).start().say(progress(1))
    await until(lambda: _told(store) == 4, 60)
    await asyncio.to_thread(server.kill)
    stored.say(progress(2))
    await until(lambda: len(failures) > 0, 60)
    stored.say(progress(3)).finish()
    await asyncio.to_thread(server.start)
    await until(lambda: store.untold("mlflow", "me", alone=True) == [], 60)
    stopping.set()
    await task
    run, losses = found(server.uri, "away")
    assert losses == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert run.info.status == "FINISHED"
    assert run.data.tags[EVENT] == str(len(stored.events))
    store.close()


def _told(store: Store) -> int:
    from sqlalchemy import func, select

    from symbiont.training.store import tables

    with store._read() as db:
        return db.execute(select(func.max(tables.tracked.c.event))).scalar() or 0
