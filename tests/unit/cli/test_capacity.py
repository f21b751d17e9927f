"""`symbiont capacity` hands its options to a process of its own, and says what that says."""

import subprocess
import sys
from typing import Any

import pytest


def test_options_are_handed_on(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    commands = []

    started = subprocess.Popen

    def start(command: list[str], env: dict[str, str]) -> Any:
        commands.append(command)
        return started([sys.executable, "-c", "raise SystemExit(3)"])

    monkeypatch.setattr(subprocess, "Popen", start)
    options = "--base ab12 --method houlsby --rank 16 --bundles 100 --tokens 64 --p99-ms 20 --json --triton /opt/t"
    assert run("capacity", *options.split()).status == 3
    (command,) = commands
    assert command[:3] == [sys.executable, "-m", "symbiont.capacity"]
    assert set(command[3:]) == {
        f"--artifacts={tmp_path / 'home' / 'artifacts'}",
        "--base=ab12",
        "--method=houlsby",
        "--rank=16",
        "--bundles=100",
        "--tokens=64",
        "--p99-ms=20.0",
        "--reserve=0.1",
        "--seconds=4.0",
        "--triton=/opt/t",
        "--json",
    }


@pytest.mark.parametrize("option", ["--bundles=3", "--rank=0", "--p99-ms=0", "--method=prefix"])
def test_options_are_checked_before_anything_starts(run: Any, option: str) -> None:
    assert run("capacity", option).status == 2


def test_a_home_without_a_base_is_an_error(run: Any) -> None:
    assert run("capacity").status == 1
