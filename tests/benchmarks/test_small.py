"""Every benchmark still runs: in small, with its bars printed but not judged."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted(Path(__file__).parent.glob("bench_*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda p: p.stem)
def test_a_benchmark_runs_in_small(path: Path) -> None:
    done = subprocess.run([sys.executable, path, "--small"], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    judged = [line for line in done.stdout.splitlines() if line.startswith(("held: ", "missed: "))]
    assert judged, done.stdout
