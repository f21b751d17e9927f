"""Offline runs of W&B, really written by its own process and read back; also when the service is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support import wandb_history
from support.tracked_jobs import LABELS, START, evaluation, job, numbered, progress, state, tell
from symbiont.training import types
from symbiont.training.tracking.wandb import STEP, WandB
from symbiont.training.tracking.wandb_files import BLOCK, HEADER, position, records
from symbiont.training.types import JobState

TESTS = Path(__file__).parents[3]
EVENTS = numbered(
    state(JobState.STARTING),
    types.LogLine("32 rows to learn from"),
    progress(1),
    types.Warning("CLASS_IMBALANCE", f"{LABELS[0]!r} has 90 rows"),
    progress(2),
    evaluation(0.125),
    state(JobState.SUCCEEDED, "made models/m/versions/1"),
)


@pytest.fixture
def wandb(tmp_path: Path) -> Iterator[WandB]:
    tracker = WandB(tmp_path, "offline", "心情")
    yield tracker
    tracker.close()
    assert not [child for child in psutil.Process().children(recursive=True) if "wandb" in child.name()]


def test_a_run_is_written_and_can_be_read(wandb: WandB, tmp_path: Path) -> None:
    run = wandb.begin(job(), 0)
    tell(run, EVENTS)
    run.end(job(state=JobState.SUCCEEDED, model_version="models/m/versions/1"))
    (file,) = wandb_history.files(tmp_path, "job-1")
    (made,) = wandb_history.messages(file, "run")
    assert (made.run_id, made.project, made.display_name) == ("job-1", "心情", "心情 job-1")
    told = wandb_history.config(file)
    assert told["model"] == "models/心情"
    assert told["hyperparameters.epochs"] == 3
    assert told["classification.label_count"] == 2
    lines = wandb_history.history(tmp_path, "job-1")
    # A line of the log says nothing; the others are numbered as the events are.
    assert [line["_step"] for line in lines] == [1, 3, 4, 5, 6, 7]
    assert [line[STEP] for line in lines] == [0, 1, 1, 2, 2, 2]
    assert [line["train/loss"] for line in lines if "train/loss" in line] == [0.5, 0.25]
    assert [line["evaluation/loss"] for line in lines if "evaluation/loss" in line] == [0.125]
    assert [line["job/warning"] for line in lines if "job/warning" in line] == ["CLASS_IMBALANCE: '…' has 90 rows"]
    assert lines[1]["_timestamp"] == START.timestamp() + 3
    assert [ending.exit_code for ending in wandb_history.messages(file, "exit")] == [0]
    assert position(tmp_path / "wandb", "job-1") == 7


def test_nothing_of_the_customers_and_nothing_of_the_machine(wandb: WandB, tmp_path: Path) -> None:
    run = wandb.begin(job(), 0)
    tell(run, EVENTS)
    run.close()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(label.encode() in written for label in LABELS)
    assert b"rows to learn from" not in written
    assert not [path.name for path in tmp_path.rglob("files/*")]


def test_two_jobs_at_once_are_two_runs(wandb: WandB, tmp_path: Path) -> None:
    runs = [wandb.begin(job(name), 0) for name in ("job-1", "job-2")]
    for run in runs:
        tell(run, EVENTS[:3])
    for run in runs:
        run.close()
    for name in ("job-1", "job-2"):
        assert [line["_step"] for line in wandb_history.history(tmp_path, name)] == [1, 3]


def test_a_later_life_goes_on_with_the_run(wandb: WandB, tmp_path: Path) -> None:
    first = wandb.begin(job(), 0)
    tell(first, EVENTS[:3])
    first.close()
    wandb.close()
    second = WandB(tmp_path, "offline", "心情")
    # Whatever the store believes: the files say that 3 is there.
    run = second.begin(job(), 5)
    assert run.position == 3
    tell(run, EVENTS)
    run.end(job(state=JobState.FAILED))
    second.close()
    files = wandb_history.files(tmp_path, "job-1")
    assert len(files) == 2
    assert all(wandb_history.messages(file, "run")[0].resume for file in files)
    assert [line["_step"] for line in wandb_history.history(tmp_path, "job-1")] == [1, 3, 4, 5, 6, 7]
    assert [ending.exit_code for ending in wandb_history.messages(files[1], "exit")] == [1]


def test_files_that_were_synchronised_and_removed_are_believed(wandb: WandB) -> None:
    run = wandb.begin(job(), 5)
    assert run.position == 5
    run.close()


KILLED = """
import os, sys
from pathlib import Path
from support.tracked_jobs import job, numbered, progress
from symbiont.training.tracking import wandb
wandb.FLUSH_SECONDS = 3600
run = wandb.WandB(Path(sys.argv[1]), "offline", "p").begin(job(), 0)
for event in numbered(progress(1), progress(2), progress(3)):
    run.record(event, event.id)
run.flush()
assert run.position == 3
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_service_had_not_written_is_told_again(wandb: WandB, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    # What it was told last never came to its file, whatever the store believes.
    run = wandb.begin(job(), 3)
    assert run.position == 0
    tell(run, numbered(*(progress(step) for step in (1, 2, 3, 4))))
    run.close()
    steps = [line["_step"] for line in wandb_history.history(tmp_path, "job-1")]
    assert steps == [1, 2, 3, 4]


def test_files_are_read_over_blocks_and_up_to_where_they_were_cut(wandb: WandB, tmp_path: Path) -> None:
    run = wandb.begin(job(), 0)
    events = numbered(*(progress(step, 0.5) for step in range(1, 301)))
    tell(run, events)
    run.close()
    (file,) = wandb_history.files(tmp_path, "job-1")
    assert file.stat().st_size > 2 * BLOCK
    assert [line["train/loss"] for line in wandb_history.history(tmp_path, "job-1")] == [0.5] * 300
    whole = list(records(file))
    for size in (0, HEADER, HEADER + 3, BLOCK - 2, BLOCK, BLOCK + 5, file.stat().st_size - 1):
        cut = tmp_path / "cut.wandb"
        cut.write_bytes(file.read_bytes()[:size])
        found = list(records(cut))
        assert found == whole[: len(found)]
        assert len(found) < len(whole)
