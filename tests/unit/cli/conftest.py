"""Runs command lines in this process, against the fake suite."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from symbiont.cli.app import main


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Result]:
    """Runs `symbiont ARGUMENTS` on an empty home."""
    monkeypatch.setenv("SYMBIONT_HOME", str(tmp_path / "home"))

    def call(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)

    return call


@pytest.fixture
def call(run: Callable[..., Result], suite: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `symbiont ARGUMENTS` against the fake suite."""
    monkeypatch.setenv("SYMBIONT_TRAINING_ADDRESS", suite.address)
    monkeypatch.setenv("SYMBIONT_INFERENCE_ADDRESS", suite.address)
    return run


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\na good one,yes\na bad one,no\n")
    return path
