"""Every benchmark still runs: in small, with its bars printed but not judged.

Those that measure a whole suite do so in `tests/e2e/test_benchmarks.py`, on the one that runs there.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from quality.sets import SETS
from quality.training import Cell, train

from support.sampling import few
from support.scripts import run_script
from support.service import fork_server
from support.tiny import save_base

# By the option that names the suite.
BENCHMARKS = [path for path in sorted(Path(__file__).parent.glob("bench_*.py")) if "add_home" not in path.read_text()]


@pytest.fixture(scope="module", autouse=True)
def forks() -> None:
    """The services that a benchmark starts are forks where there is something to fork, as other tests' services are."""
    for service in ("tokenization", "training", "inference"):
        fork_server(service)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda p: p.stem)
def test_a_benchmark_runs_in_small(path: Path) -> None:
    done = run_script(path, "--small", timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    judged = [line for line in done.stdout.splitlines() if line.startswith(("held: ", "missed: "))]
    assert judged, done.stdout


@pytest.mark.skipif("SYMBIONT_TEST_DATA" not in os.environ, reason="SYMBIONT_TEST_DATA names no folder")
@pytest.mark.parametrize("name", few(SETS, *[name for name in SETS if name != "xquad"]))
def test_a_real_set_can_be_read_and_trained_on(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = SETS[name]

    def read(data: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        kept, held = chosen.read(data)
        labels = {row["label"]: row for row in kept if "label" in row}
        return [*labels.values(), *kept[:8]], held[:: len(held) // 8]

    # Questions are longer than the tiny base takes.
    base = None if name == "xquad" else save_base(tmp_path / "tiny")
    longest = min(chosen.max_tokens, 64) if base else chosen.max_tokens
    shorter = replace(chosen, read=read, language="en", most_rows=0, epochs=1, max_tokens=longest)
    monkeypatch.setitem(SETS, name, shorter)
    found = train(Cell(name, "head-only", 0), Path(os.environ["SYMBIONT_TEST_DATA"]), base)
    assert 0 <= found["value"] <= 1
    assert found["rows"] >= 8
