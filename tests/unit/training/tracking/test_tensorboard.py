"""Event files that TensorBoard itself reads: exact numbers at exact steps, whatever was killed when."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.tracked_jobs import (
    LABELS,
    START,
    accumulator,
    curves,
    evaluation,
    job,
    judged,
    numbered,
    progress,
    state,
    texts,
    times,
)
from symbiont.training import types
from symbiont.training.tracking.reading import Steps
from symbiont.training.tracking.tensorboard import PREFIX, TensorBoard, TensorBoardRun, position
from symbiont.training.types import Event, JobState

FIRST = [
    state(JobState.STARTING),
    types.LogLine("32 rows to learn from"),
    progress(1),
    progress(2),
    judged(2, 0.5),
    types.CheckpointSaved(2, "c" * 64, 0.5),
    progress(3),
    progress(4),
]
SECOND = [2, state(JobState.RECOVERING, "it was killed"), state(JobState.STARTING), progress(3, 8.0), progress(5)]
LAST = [evaluation(0.125), types.Metrics(5, (("peak_memory_bytes", 4096.0),)), state(JobState.SUCCEEDED)]
EVENTS = numbered(*FIRST, *SECOND, *LAST)


def tell(folder: Path, events: list[Event], *, end: bool = False) -> None:
    """One life of the service: it goes on where the files are."""
    run = TensorBoard(folder).begin(job(), 0)
    steps = Steps()
    for event in events:
        step = steps.after(event)
        if event.id > run.position:
            run.record(event, step)
    if end:
        run.end(job(state=JobState.SUCCEEDED))
    else:
        run.close()


def test_exact_numbers_at_exact_steps(tmp_path: Path) -> None:
    tell(tmp_path, EVENTS, end=True)
    found = curves(tmp_path / "job-1")
    # Step 4 of the attempt that was lost is gone: the checkpoint was at 2, and the new attempt came by 3 again.
    assert found["train/loss"] == [(1, 0.5), (2, 0.25), (3, 8.0), (5, 1 / 32)]
    assert found["train/learning_rate"] == [(step, 0.25) for step in (1, 2, 3, 5)]
    assert found["train/gradient_norm"] == [(step, 1.5) for step in (1, 2, 3, 5)]
    assert found["train/tokens_per_second"] == [(step, 2048.0) for step in (1, 2, 3, 5)]
    assert found["evaluation/loss"] == [(2, 0.5), (5, 0.125)]
    assert found["evaluation/macro_f1"] == [(2, 0.75), (5, 0.75)]
    assert found["system/peak_memory_bytes"] == [(5, 4096.0)]
    assert set(found) == {
        *(f"train/{name}" for name in ("loss", "learning_rate", "gradient_norm", "tokens_per_second")),
        *(f"evaluation/{name}" for name in ("loss", "accuracy", "macro_f1")),
        "system/peak_memory_bytes",
    }
    assert times(tmp_path / "job-1", "train/loss")[0] == START.timestamp() + 3


def test_words_are_shown_and_labels_are_not(tmp_path: Path) -> None:
    told = types.Warning("CLASS_IMBALANCE", f"{LABELS[0]!r} has 90 rows and {LABELS[1]!r} has 1: look at macro-F1")
    tell(tmp_path, numbered(state(JobState.STARTING), told, evaluation(1.0)))
    (spec,) = texts(tmp_path / "job-1")["spec"]
    assert spec[0] == 0
    assert "| model | models/心情 |" in spec[1].splitlines()
    assert "| classification.label_count | 2 |" in spec[1].splitlines()
    words = texts(tmp_path / "job-1" / "log")
    assert words["state"] == [(1, "STARTING: so it goes")]
    assert words["warning"] == [(2, "CLASS_IMBALANCE: '…' has 90 rows and '…' has 1: look at macro-F1")]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob(f"{PREFIX}*"))
    assert "心情".encode() in written
    assert not any(label.encode() in written for label in LABELS)


def test_words_survive_a_restart_that_purges_numbers(tmp_path: Path) -> None:
    tell(tmp_path, EVENTS)
    assert [step for step, _ in texts(tmp_path / "job-1" / "log")["state"]] == [1, 9, 10, 15]


@pytest.mark.parametrize("killed_after", range(len(EVENTS)))
def test_a_service_that_is_killed_leaves_no_gap_and_nothing_twice(tmp_path: Path, killed_after: int) -> None:
    tell(tmp_path / "whole", EVENTS)
    tell(tmp_path / "killed", EVENTS[:killed_after])
    cut_short(tmp_path / "killed")
    tell(tmp_path / "killed", EVENTS)
    assert curves(tmp_path / "killed/job-1") == curves(tmp_path / "whole/job-1")
    assert texts(tmp_path / "killed/job-1/log") == texts(tmp_path / "whole/job-1/log")
    assert texts(tmp_path / "killed/job-1") == texts(tmp_path / "whole/job-1")


def cut_short(folder: Path) -> None:
    """Leaves half a record at the end, as a kill in the middle of a write might."""
    last = sorted((folder / "job-1").glob(f"{PREFIX}*"))[-1]
    with last.open("ab") as file:
        file.write(last.read_bytes()[:30])


def test_a_kill_before_the_first_event_begins_again(tmp_path: Path) -> None:
    tell(tmp_path, EVENTS)
    whole = curves(tmp_path / "job-1")
    first = tmp_path / "job-1" / f"{PREFIX}0000000001"
    for size in (0, 10, 60, 200):
        first.write_bytes(first.read_bytes()[:size])
        assert position(tmp_path / "job-1") == 0
        tell(tmp_path, EVENTS)
        assert curves(tmp_path / "job-1") == whole


def test_a_folder_that_is_gone_is_written_again(tmp_path: Path) -> None:
    run = TensorBoard(tmp_path).begin(job(), 7)
    assert run.position == 0
    run.close()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TensorBoard(tmp_path).begin(job(), 0)
    assert isinstance(run, TensorBoardRun)
    run.close()
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(run._numbers, "_file", full)
        with pytest.raises(OSError, match="No space left"):
            run.record(EVENTS[2], 1)
    assert run.position == 0


def test_hyperparameters_and_how_it_went(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    tell(tmp_path, EVENTS, end=True)
    accumulated = accumulator(tmp_path / "job-1")
    content = accumulated.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    started = metadata.parse_session_start_info_plugin_data(content)
    assert started.group_name == "job-1"
    assert started.hparams["hyperparameters.epochs"].number_value == 3
    assert started.hparams["model"].string_value == "models/心情"
    content = accumulated.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
    assert metadata.parse_session_end_info_plugin_data(content).status == 1


def test_the_service_does_not_load_it_before_it_needs_it() -> None:
    program = "import sys, symbiont.training.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert {"tensorboard", "wandb", "mlflow"}.isdisjoint(loaded)
