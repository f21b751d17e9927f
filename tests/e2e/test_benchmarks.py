"""The benchmarks of a whole suite still run: in small, on the suite of the other tests, with no bar judged."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMMANDS = {
    "bench_observability": ["--model", "sentiment"],
    "bench_overload": ["--model", "classifier"],
    "bench_path": ["--model", "sentiment"],
    "bench_serving": [],
}


def test_none_is_left_out() -> None:
    assert set(COMMANDS) == {path.stem for path in BENCHMARKS.glob("bench_*.py") if "add_home" in path.read_text()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_runs_in_small(suite: Any, name: str) -> None:
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--small", "--home", suite.home.root, *COMMANDS[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    judged = [line for line in done.stdout.splitlines() if line.startswith(("held: ", "missed: "))]
    assert judged, done.stdout
