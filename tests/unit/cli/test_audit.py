"""`symbiont audit` says whether the log is whole, and what it has."""

import json
from pathlib import Path
from typing import Any

import pytest

from symbiont.common.access.chain import Chain, files_of


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for service, tenant in (("training", "bank"), ("inference", "shop")):
        chain = Chain(tmp_path / "audit", service)
        for number, outcome in enumerate(("OK", "PERMISSION_DENIED")):
            said = {"time": f"2026-01-0{number + 1}T00:00:00", "tenant": tenant, "principal": "ana", "outcome": outcome}
            chain.add(said)
        chain.close()
    return tmp_path / "audit"


def test_a_whole_log_says_what_to_keep(call: Any, log: Path) -> None:
    result = call("audit", "verify", str(log))
    assert result.status == 0
    kept = result.out.split()
    assert [line.partition("=")[0] for line in kept] == ["inference-1", "training-1"]
    assert call("audit", "verify", str(log), "--expect", kept[0], "--expect", kept[1]).status == 0


def test_a_changed_line_is_named(call: Any, log: Path) -> None:
    (file,) = files_of(log / "training-1")
    file.write_text(file.read_text().replace('"OK"', '"NOT_FOUND"'))
    result = call("audit", "verify", str(log))
    assert result.status == 1
    assert "training-1/000001.jsonl:1: this line, number 1, was changed" in result.out
    assert "inference-1=" in result.out


def test_a_chain_that_was_written_anew_or_is_gone_is_found_by_what_was_kept(call: Any, log: Path) -> None:
    kept = call("audit", "verify", str(log)).out.split()
    for path in (log / "training-1").iterdir():
        path.unlink()
    chain = Chain(log, "training")
    chain.add({"time": "2026-01-01T00:00:00", "outcome": "OK"})
    chain.close()
    assert call("audit", "verify", str(log)).status == 0
    assert "is not there any more" in call("audit", "verify", str(log), "--expect", kept[1]).out
    for path in (log / "training-1").iterdir():
        path.unlink()
    (log / "training-1").rmdir()
    result = call("audit", "verify", str(log), "--expect", kept[1])
    assert (result.status, "training-1" in result.err) == (1, True)


def test_the_lines_are_printed_in_order(call: Any, log: Path) -> None:
    def printed(*options: str) -> list[tuple[str, str]]:
        lines = map(json.loads, call("audit", "export", str(log), *options).out.splitlines())
        return [(line["chain"], line["outcome"]) for line in lines]

    assert [outcome for _, outcome in printed()] == ["OK", "OK", "PERMISSION_DENIED", "PERMISSION_DENIED"]
    assert printed("--tenant", "bank", "--denied") == [("training-1", "PERMISSION_DENIED")]
    assert len(printed("--since", "2026-01-02")) == 2
    assert printed("--principal", "bob") == []


def test_a_folder_without_a_log(call: Any, tmp_path: Path) -> None:
    result = call("audit", "verify", str(tmp_path))
    assert (result.status, "SYMBIONT_AUDIT_ROOT" in result.err) == (1, True)
