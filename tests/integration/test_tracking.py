"""Tracking that is killed, with every tracker's own reader; two controllers on one PostgreSQL; TensorBoard itself."""

import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support import wandb_history
from support.postgres import postgres
from support.registry import tiny_spec, upload
from support.service import free_port
from support.tiny import csv_of, labelled_rows, save_base
from support.tracked_jobs import StoredJob, curves, judged, progress, texts
from support.waiting import until_sync
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import bases, types
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.types import Inputs, Source

TESTS = Path(__file__).parents[1]
LOSSES = [(1, 0.5), (2, 3.0), (3, 0.125), (4, 0.0625)]


class TrackingProcess:
    """What tracks, and can be killed."""

    def __init__(self, url: str, folder: Path, words: str, owner: str, *, alone: bool) -> None:
        program = [sys.executable, "-m", "support.tracking_process"]
        self.log = folder / f"{owner}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, url, str(folder), words, owner, "alone" if alone else "beside"],
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(TESTS)},
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As the service is stopped; what it had started must be gone."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log.read_text()
        assert not psutil.wait_procs(children, 10)[1]


@contextmanager
def tracking(url: str, folder: Path, words: str, owner: str = "me", *, alone: bool = True) -> Iterator[TrackingProcess]:
    process = TrackingProcess(url, folder, words, owner, alone=alone)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.kill()


def prepared(url: str, folder: Path) -> tuple[Store, Inputs]:
    """A store with a base and a dataset, which all trackers know already."""
    store, artifacts = Store(url), ArtifactStore(folder / "artifacts")
    base = save_base(folder / "tiny")
    store.add_base(bases.register(artifacts, "tiny", Source("folder", str(base)), "tests", "MIT"))
    store.add_dataset(upload(artifacts, csv_of(labelled_rows(40))))
    for name in ("tensorboard", "wandb", "mlflow"):
        store.track_new_jobs(name)
    return store, resolve(tiny_spec(), store)[1]


def told(store: Store, job: StoredJob, *trackers: str) -> bool:
    """Whether trackers were told all that has happened so far."""
    for name in trackers:
        store.track_new_jobs(name)
    return all(job.id not in [n.job for n in store.untold(name, "", alone=True)] for name in trackers)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_leave_no_gap_and_nothing_twice_in_any_tracker(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/symbiont.db"
    store, inputs = prepared(url, tmp_path)
    names = "tensorboard", "wandb", "mlflow"
    job = StoredJob(store, inputs).start().say(progress(1), types.CheckpointSaved(1, "c" * 64), progress(2))
    with tracking(url, tmp_path, "wandb,mlflow") as process:
        until_sync(lambda: told(store, job, *names), 90)
        job.say(progress(3))
        until_sync(lambda: told(store, job, "tensorboard"), 30)
        # W&B's process may not have written what it was told a moment ago.
        process.kill()
    job.lose().start().say(progress(2, 3.0), judged(2, 0.25))
    with tracking(url, tmp_path, "wandb,mlflow") as process:
        until_sync(lambda: told(store, job, "tensorboard"), 90)
        process.kill()
    job.say(progress(3), progress(4)).finish()
    with tracking(url, tmp_path, "wandb,mlflow") as process:
        until_sync(lambda: told(store, job, *names), 90)
        process.stop()
        assert "failed" not in process.log.read_text()

    assert curves(tmp_path / "tensorboard" / job.id)["train/loss"] == LOSSES
    assert curves(tmp_path / "tensorboard" / job.id)["evaluation/loss"] == [(2, 0.25), (4, 0.5)]
    states = [e.id for e in job.events if isinstance(e.body, types.StateChange)]
    assert [event for event, _ in texts(tmp_path / "tensorboard" / job.id / "log")["state"]] == states

    lines = wandb_history.history(tmp_path, job.id)
    spoken = [e.id for e in job.events if not isinstance(e.body, types.CheckpointSaved)]
    assert [line["_step"] for line in lines] == spoken
    assert [line["train/loss"] for line in lines if "train/loss" in line] == [0.5, 0.25, 0.125, 3.0, 0.125, 0.0625]

    assert mlflow_history(f"sqlite:///{tmp_path}/mlflow.db", job.id) == [0.5, 0.25, 0.125, 3.0, 0.125, 0.0625]
    store.close()


def mlflow_history(uri: str, job: str) -> list[float]:
    """Returns the losses of a job in the order of their times, read in a process that warns of nothing."""
    program = (
        "import sys; from mlflow.tracking import MlflowClient; c = MlflowClient(sys.argv[1]);"
        "e = c.get_experiment_by_name('symbiont').experiment_id;"
        "r, = c.search_runs([e], f\"tags.`symbiont.job` = '{sys.argv[2]}'\"); assert r.info.status == 'FINISHED';"
        "h = sorted(c.get_metric_history(r.info.run_id, 'train/loss'), key=lambda m: (m.timestamp, m.step));"
        "import json; print(json.dumps([m.value for m in h]))"
    )
    done = subprocess.run([sys.executable, "-c", program, uri, job], capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_of_two_controllers_is_killed(tmp_path: Path) -> None:
    with postgres() as url:
        store, inputs = prepared(url, tmp_path)
        jobs = [StoredJob(store, inputs, number).start() for number in range(12)]
        with (
            tracking(url, tmp_path, "", "first", alone=False) as first,
            tracking(url, tmp_path, "", "second", alone=False) as second,
        ):
            for step in range(1, 4):
                for job in jobs:
                    job.say(progress(step))
            until_sync(lambda: all(told(store, job, "tensorboard") for job in jobs), 60)
            first.kill()
            for job in jobs:
                job.say(progress(4)).finish()
            # Those of the one that was killed are taken over when its leases have run out.
            until_sync(lambda: all(told(store, job, "tensorboard") for job in jobs), 60)
            second.stop()
        for job in jobs:
            found = curves(tmp_path / "tensorboard" / job.id)
            assert found["train/loss"] == [(step, 1 / 2**step) for step in range(1, 5)]
            states = [e.id for e in job.events if isinstance(e.body, types.StateChange)]
            assert [event for event, _ in texts(tmp_path / "tensorboard" / job.id / "log")["state"]] == states
        store.close()


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """TensorBoard itself over a folder; yields its address."""
    port = free_port()
    program = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    with (folder / "tensorboard.log").open("wb") as log:
        process = subprocess.Popen(program, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/data"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.timeout(300)
def test_tensorboard_shows_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/symbiont.db"
    store, inputs = prepared(url, tmp_path)
    job = StoredJob(store, inputs).start().say(progress(1), types.CheckpointSaved(1, "c" * 64), progress(2))
    job.lose().start().say(progress(2, 3.0), progress(3), types.Warning("TEXTS_CUT", "三成的文本被截断")).finish()
    with tracking(url, tmp_path, "") as process:
        until_sync(lambda: told(store, job, "tensorboard"), 60)
        process.stop()
    store.close()

    def ask(plugin: str, run: str, tag: str) -> list[object]:
        query = urllib.parse.urlencode({"run": run, "tag": tag})
        with urllib.request.urlopen(f"{address}/plugin/{plugin}/{plugin}?{query}") as answer:
            found: list[object] = json.loads(answer.read())
            return found

    def runs() -> set[str]:
        try:
            with urllib.request.urlopen(f"{address}/runs") as answer:
                return set(json.loads(answer.read()))
        except OSError:
            return set()

    with tensorboard(tmp_path / "tensorboard") as address:
        until_sync(lambda: runs() == {job.id, f"{job.id}/log"}, 60)
        until_sync(lambda: len(ask("scalars", job.id, "evaluation/loss")) == 1, 30)
        assert [point[1:] for point in ask("scalars", job.id, "train/loss")] == [[1, 0.5], [2, 3.0], [3, 0.125]]  # type: ignore[index]
        (warning,) = ask("text", f"{job.id}/log", "warning")
        assert "三成的文本被截断" in warning["text"]  # type: ignore[index]
        (spec,) = ask("text", job.id, "spec")
        assert "models/mood" in spec["text"]  # type: ignore[index]
