"""Runs of MLflow, in a database of its own, read back through its API."""

from pathlib import Path
from typing import Any

import pytest

from support.tracked_jobs import LABELS, START, evaluation, job, judged, numbered, progress, state, tell
from symbiont.training import types
from symbiont.training.tracking.mlflow import EVENT, JOB, METRICS, MLflow
from symbiont.training.types import JobState

EVENTS = numbered(
    state(JobState.STARTING),
    types.LogLine("32 rows to learn from"),
    progress(1),
    types.Warning("CLASS_IMBALANCE", f"{LABELS[0]!r} has 90 rows"),
    progress(2),
    judged(2, 0.5),
    evaluation(0.125),
    state(JobState.SUCCEEDED, "made models/m/versions/1"),
)
# MLflow's own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # Where its artifacts would be.
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(uri: str) -> list[Any]:
    experiment = client(uri).get_experiment_by_name("心情")
    return list(client(uri).search_runs([experiment.experiment_id]))


def history(uri: str, name: str) -> list[tuple[int, float]]:
    (run,) = runs(uri)
    return [(m.step, m.value) for m in client(uri).get_metric_history(run.info.run_id, name)]


def test_values_are_read_back(uri: str, tmp_path: Path) -> None:
    run = MLflow(uri, "心情").begin(job(), 0)
    tell(run, EVENTS)
    run.end(job(state=JobState.SUCCEEDED, model_version="models/m/versions/1"))
    (made,) = runs(uri)
    assert made.info.run_name == "心情 job-1"
    assert made.info.status == "FINISHED"
    assert made.info.start_time == START.timestamp() * 1000
    assert made.data.params["model"] == "models/心情"
    assert made.data.params["hyperparameters.epochs"] == "3"
    assert made.data.params["classification.label_count"] == "2"
    assert history(uri, "train/loss") == [(1, 0.5), (2, 0.25)]
    assert history(uri, "train/tokens_per_second") == [(1, 2048.0), (2, 2048.0)]
    assert history(uri, "evaluation/loss") == [(2, 0.5), (2, 0.125)]
    (first, *_) = client(uri).get_metric_history(made.info.run_id, "train/loss")
    assert first.timestamp == START.timestamp() * 1000 + 3000
    tags = made.data.tags
    assert tags[JOB] == "job-1"
    assert tags["symbiont.state"] == "SUCCEEDED: made models/m/versions/1"
    assert tags["symbiont.warning.CLASS_IMBALANCE"] == "CLASS_IMBALANCE: '…' has 90 rows"
    assert tags["symbiont.model_version"] == "models/m/versions/1"
    database = (tmp_path / "mlflow.db").read_bytes()
    assert not any(label.encode() in database for label in LABELS)


def test_a_later_life_finds_the_run_again_and_doubles_nothing(uri: str) -> None:
    first = MLflow(uri, "心情").begin(job(), 0)
    tell(first, EVENTS[:3])
    # Killed after the numbers of this page, before the tag.
    for event in EVENTS[3:6]:
        first.record(event, 2)
    first._client.log_batch(first._id, metrics=first._metrics)  # type: ignore[attr-defined]
    second = MLflow(uri, "心情").begin(job(), 6)
    assert second.position == 3
    tell(second, EVENTS)
    second.end(job(state=JobState.FAILED))
    (made,) = runs(uri)
    assert made.info.status == "FAILED"
    assert made.data.tags[EVENT] == "8"
    assert history(uri, "train/loss") == [(1, 0.5), (2, 0.25)]
    assert history(uri, "evaluation/loss") == [(2, 0.5), (2, 0.125)]


def test_a_long_page_goes_in_parts(uri: str) -> None:
    count = METRICS // 2
    run = MLflow(uri, "心情").begin(job(), 0)
    tell(run, numbered(*(progress(step, 0.5) for step in range(1, count + 1))))
    assert history(uri, "train/loss") == [(step, 0.5) for step in range(1, count + 1)]
    assert run.position == count


def test_a_server_that_is_away_is_an_error_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from support.service import free_port

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception, match="Max retries exceeded"):
        MLflow(f"http://127.0.0.1:{free_port()}", "x").begin(job(), 0)
