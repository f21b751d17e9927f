"""`symbiont jobs curve`, on an app of its own: what it reads, prints and writes."""

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from support.training_events import metrics, progress, state
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli import app as command_line
from symbiont.cli.curve_command import curve, events_so_far, read_curves
from symbiont.cli.curves.curve import Measure
from symbiont.client import Client

EVENTS = {
    "jobs/j1": [
        *(progress(step, math.exp(-step / 40), total=120) for step in range(10, 121, 10)),
        *(progress(step, math.exp(-step / 40), attempt=2, total=120) for step in range(90, 121, 10)),
    ],
    "jobs/j2": [progress(step, 1 / step) for step in range(10, 61, 10)] + [metrics(60, evaluation_loss=0.25)],
    "jobs/new": [state(pb.JOB_STATE_QUEUED)],
    "jobs/one": [progress(5, 0.5)],
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Has every client give the events above; returns what it was asked."""
    asked: list[tuple[str, int]] = []

    def list_training_events(self: Client, job: str, after_event_id: int = 0) -> Iterator[pb.TrainingEvent]:
        asked.append((job, after_event_id))
        yield from EVENTS[job]

    monkeypatch.setattr(Client, "list_training_events", list_training_events, raising=False)
    return asked


@pytest.fixture
def jobs(read: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `symbiont jobs curve ARGUMENTS`."""
    alone, group = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False), typer.Typer()
    group.command("curve")(curve)
    alone.add_typer(group, name="jobs")
    monkeypatch.setattr(command_line, "app", alone)
    return lambda *arguments: call("jobs", "curve", *arguments)


def test_it_draws_into_a_pipe(jobs: Any, read: Any) -> None:
    result = jobs("j1", "jobs/j2", "j1")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].strip() == "Loss of 2 jobs"
    assert len(lines) == 24
    assert max(map(len, lines)) == 100
    assert [line.split()[0] for line in lines if "┤" in line] == ["0.8", "0.6", "0.4", "0.2", "0"]
    assert lines[-2].split() == ["step", "0", "20", "40", "60", "80", "100", "120"]
    assert lines[-1] == "a j1 0.04979 at 120   b j2 0.01667 at 60"
    assert read == [("jobs/j1", 0), ("jobs/j2", 0)]
    assert "\x1b" not in result.out


def test_measure_scale_and_smoothing(jobs: Any) -> None:
    assert "Evaluation loss of j2" in jobs("j2", "--measure", "evaluation-loss").out
    shown = jobs("j1", "--log", "--smooth", "0.5").out
    assert "Loss of j1, smoothed by 0.5" in shown
    assert [line.split()[0] for line in shown.splitlines() if "┤" in line] == ["0.5", "0.2", "0.1", "0.05"]
    assert "j1 0.04979 at 120" in shown
    for wrong in (["--smooth", "1"], ["--smooth", "-0.1"], ["--measure", "accuracy"], []):
        assert jobs(*(["j1", *wrong] if wrong else [])).status == 2


def test_a_job_without_points_is_named(jobs: Any) -> None:
    result = jobs("new")
    assert (result.status, result.out, result.err) == (1, "", "error: new has not reported a step yet\n")
    result = jobs("j1", "--measure", "evaluation-loss")
    assert result.err == "error: j1 has done 120 steps and reported no evaluation loss\n"
    result = jobs("one", "new")
    assert (result.status, result.err) == (0, "not drawn: new has not reported a step yet\n")
    assert "one 0.5 at 5" in result.out


def test_it_writes_files(jobs: Any, tmp_path: Path) -> None:
    table = tmp_path / "curve.csv"
    result = jobs("j1", "one", "--export", str(table))
    assert (result.status, result.out) == (0, f"written: {table}\n")
    rows = table.read_text().splitlines()
    assert rows[0] == "job,attempt,step,measure,value"
    assert [row.split(",")[:4] for row in rows[8:]] == [
        ["j1", "1", "80", "loss"],
        *(["j1", "2", str(step), "loss"] for step in (90, 100, 110, 120)),
        ["one", "1", "5", "loss"],
    ]
    assert jobs("j1", "--export", str(tmp_path / "curve.png")).status == 0
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_read_for_a_file_that_cannot_be_written(jobs: Any, read: Any, tmp_path: Path) -> None:
    result = jobs("j1", "--export", str(tmp_path / "curve.pdf"))
    assert result.status == 2
    assert "--export" in result.err
    assert ".png" in result.err
    assert read == []


def test_help_teaches(jobs: Any) -> None:
    shown = re.sub(r"\s+", " ", jobs("--help").out)
    assert "Example: symbiont jobs curve j1 j2" in shown
    for measure in Measure:
        assert measure in shown


def test_on_a_terminal_it_takes_the_terminal_s_size(
    jobs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("LINES", "20")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = jobs("j1").out
    assert "\x1b[36m" in out
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert len(lines) == 18
    assert max(map(len, lines)) == 70
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[36m" not in jobs("j1").out


def test_events_may_come_from_elsewhere(read: Any) -> None:
    with Client() as client:
        (found,) = read_curves(client, ["x"], Measure.LOSS, lambda _, job: [progress(1, float(len(job)))])
        assert [event.progress.step for event in events_so_far(client, "jobs/one")] == [5]
    assert (found.job, found.points[0].value) == ("x", 6.0)


def test_matplotlib_is_not_loaded_before_it_is_needed() -> None:
    program = "import sys, symbiont.cli.curve_command; print('matplotlib' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert shown == "False\n"
