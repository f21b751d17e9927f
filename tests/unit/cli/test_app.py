"""The command line as a whole: help, version, and failures in one line."""

import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from symbiont.local.home import Home, RunRecord, own_identity


def test_help_names_every_command(run: Any) -> None:
    result = run("--help")
    assert result.status == 0
    for command in ("up", "demo", "bases", "datasets", "train", "jobs", "models", "predict", "doctor"):
        assert re.search(rf"│ {command} ", result.out), command


def test_help_of_commands_gives_examples(run: Any) -> None:
    for command in (["train"], ["predict"], ["datasets", "create"], ["bases", "register"], ["models", "promote"]):
        assert "Example: symbiont" in run(*command, "--help").out


def test_version(run: Any) -> None:
    assert run("--version").out == f"symbiont {version('symbiont')}\n"


def test_a_wrong_command_line_is_status_2(run: Any) -> None:
    result = run("jobs", "show")
    assert result.status == 2
    assert "Missing argument" in result.err


def test_nothing_runs(run: Any) -> None:
    result = run("models", "list")
    assert result.status == 1
    assert result.err.startswith("error: no suite runs on ")
    assert "symbiont up" in result.err


def test_a_refusal_is_one_line_with_code_field_and_request_id(call: Any) -> None:
    result = call("predict", "nobody", "hello")
    assert result.status == 1
    assert re.search(r"^error: NOT_FOUND: models/nobody does not exist \(request id [0-9a-f]{32}\)$", result.err, re.M)
    assert "Traceback" not in result.err


def test_an_unreachable_service_says_what_to_do(run: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SYMBIONT_TRAINING_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr("symbiont.client.sync.Limits", lambda: _Quick())
    result = run("jobs", "list")
    assert result.status == 1
    assert "UNAVAILABLE" in result.err
    assert "symbiont doctor" in result.err


class _Quick:
    timeout = 1.0
    patience = 0.2


def test_addresses_come_from_the_suite_that_runs(run: Any, suite: Any) -> None:
    home = Home(Path(os.environ["SYMBIONT_HOME"]))
    home.root.mkdir()
    addresses = dict.fromkeys(("training", "inference", "tokenization"), suite.address)
    home.write_run(RunRecord(supervisor=own_identity(), addresses=addresses))
    result = run("models", "list")
    assert (result.status, result.err) == (0, "")
