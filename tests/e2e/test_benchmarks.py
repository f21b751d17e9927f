"""The benchmarks of a whole suite still run: in small, on the models of the other tests, with no bar judged."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.scripts import run_script
from support.stacks import ForkingStack
from symbiont.local.home import Home

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMMANDS = {
    "bench_fairness": ["--model", "classifier"],
    "bench_observability": ["--model", "sentiment"],
    "bench_overload": ["--model", "classifier"],
    "bench_path": ["--model", "sentiment"],
    "bench_serving": [],
    "bench_tls": ["--model", "sentiment"],
}


@pytest.fixture(scope="module")
def plain(suite: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """What the suite of the other tests has, served without TLS, whose cost would be in every figure."""
    home = Home(tmp_path_factory.mktemp("plain") / "home")
    shutil.copytree(suite.home.root, home.root, ignore=shutil.ignore_patterns("run.json", "lock", "logs", "triton"))
    with ForkingStack(home, insecure=True) as stack:
        stack.wait_ready()
        yield home


def test_none_is_left_out() -> None:
    assert set(COMMANDS) == {path.stem for path in BENCHMARKS.glob("bench_*.py") if "add_home" in path.read_text()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_runs_in_small(plain: Home, name: str) -> None:
    done = run_script(BENCHMARKS / f"{name}.py", "--small", "--home", plain.root, *COMMANDS[name], timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    judged = [line for line in done.stdout.splitlines() if line.startswith(("held: ", "missed: "))]
    assert judged, done.stdout
