"""The data gate by both clients and by the command, on a real service."""

import asyncio
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.planted import flipped, labelled
from support.training_suite import Suite
from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.cli.app import main
from symbiont.client import AsyncClient, Client, Endpoints, InvalidArgumentError

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(suite: Suite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.setenv("SYMBIONT_TRAINING_ADDRESS", suite.training.address)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["datasets", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


# Six works, each of which takes seconds to begin.
@pytest.mark.timeout(400)
def test_both_clients_do_the_same(suite: Suite, tmp_path: Path) -> None:
    endpoints = Endpoints(suite.training.address, suite.training.address, suite.training.address)
    transforms = [pb.Transform(clean=pb.CleanTransform())]
    settings = pb.SuggestionSettings(count=5)
    heard: list[pb.DatasetWorkProgress] = []
    with Client(endpoints) as client:
        one = client.prepare_dataset("raw", "by-client", transforms, progress=heard.append)
        report = client.validate_dataset("held")
        chosen = client.suggest_rows("held", settings)
        content = b"".join(client.export_rows("held", "csv", chosen))
        parts = client.split_dataset("raw", "train-one", "test-one")
        with pytest.raises(InvalidArgumentError) as caught:
            client.prepare_dataset("raw", "x", [])
        assert caught.value.field == "transforms"
    assert {progress.stage for progress in heard} >= {pb.DATASET_WORK_STAGE_READING, pb.DATASET_WORK_STAGE_WORKING}
    file = tmp_path / "labels.csv"
    rows = list(csv.DictReader(content.decode().splitlines()))
    file.write_text("\n".join(["row,label", *(f"{row['row']},loan" for row in rows)]))

    async def drive() -> None:
        async with AsyncClient(endpoints) as client:
            assert await client.prepare_dataset("raw", "by-client", transforms) == one
            assert await client.validate_dataset("held") == report
            assert await client.suggest_rows("held", settings) == chosen
            assert b"".join([chunk async for chunk in client.export_rows("held", "csv", chosen)]) == content
            assert await client.split_dataset("raw", "train-one", "test-one") == parts
            made = await client.import_labels("held", "labels-one", file, only_labelled=True)
            assert {c.label: c.count for c in made.label_counts} == {"loan": 5}

    asyncio.run(drive())


def test_a_format_that_is_none_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "labels.xls"
    file.touch()
    with Client(Endpoints("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1")) as client:
        with pytest.raises(ValueError, match="label-studio, jsonl, csv"):
            client.import_labels("raw", "x", file)
        with pytest.raises(FileNotFoundError):
            client.import_labels("raw", "x", tmp_path / "none.csv")


def test_a_report_is_shown(call: Command) -> None:
    status, out, _ = call("validate", "raw", "--against", "held")
    assert status == 0
    for words in ("rows", "303", "IN_OTHER_DATASET", "PII_EMAIL", "suspect labels", "languages", "LABEL_IN_TEXT"):
        assert words in out
    assert "ann@" not in out


def test_a_dataset_is_prepared_and_shown(call: Command) -> None:
    asked = ("--clean", "--deduplicate", "--against", "held", "--anonymize", "mask", "--kind", "email")
    status, out, err = call("prepare", "raw", "shown", *asked, "--balance", "down", "--drop-suspects", "0.05")
    assert status == 0, err
    for step in (
        "clean",
        "deduplicate",
        "anonymize",
        "drop-suspects",
        "balance",
        "PII_EMAIL",
        "SUSPECT",
        "DOWNSAMPLED",
    ):
        assert step in out
    status, out, _ = call("show", "shown")
    assert status == 0
    assert "made of" in out
    assert "drop-suspects" in out


def test_what_is_wrong_with_a_command_is_said(call: Command) -> None:
    status, _, err = call("prepare", "raw", "x")
    assert status == 2
    assert "--deduplicate" in err
    status, _, err = call("prepare", "raw", "x", "--anonymize", "tokens")
    assert status == 2
    assert "--key" in err
    status, _, err = call("prepare", "raw", "x", "--anonymize", "mask", "--kind", "shoe-size")
    assert status == 2
    assert "shoe" in err
    status, _, err = call("prepare", "raw", "x", "--anonymize", "tokens", "--key", "other", "--kind", "email")
    assert status == 1
    assert "no key 'other'" in err


def test_a_split_is_shown(call: Command) -> None:
    status, out, err = call("split", "raw", "train-two", "test-two", "--near", "0.8")
    assert status == 0, err
    assert "train-two" in out
    assert "UNITS" in out


def test_suspects_are_shown_with_their_texts(call: Command) -> None:
    _, wrong = flipped(labelled(300), 0.05)
    status, out, err = call("suspects", "raw", "--limit", "5")
    assert status == 0, err
    rows = [int(line.split()[0]) for line in out.splitlines()[1:6]]
    assert len(set(rows) & wrong) >= 4
    assert labelled(300)[rows[0]].text[:20] in out


def test_tasks_go_out_and_labels_come_back(call: Command, tmp_path: Path) -> None:
    status, out, err = call("annotate", "raw", "tasks.json", "--count", "7", "--strategy", "uncertain")
    assert status == 0, err
    assert "7 rows in tasks.json" in out
    tasks: list[dict[str, Any]] = json.loads((tmp_path / "tasks.json").read_text())
    minimal = [{**task["data"], "label": "card"} for task in tasks]
    (tmp_path / "done.json").write_text(json.dumps(minimal))
    status, out, err = call("import-labels", "raw", "done", "done.json")
    assert status == 0, err
    assert "label-import" in out
    assert "LABELLED" in out


def test_tokens_are_restored_by_whoever_has_the_key(call: Command, suite: Suite, tmp_path: Path) -> None:
    asked = ("--anonymize", "tokens", "--key", "main", "--kind", "email")
    assert call("prepare", "raw", "sealed", *asked)[0] == 0
    with Client(Endpoints(suite.training.address, suite.training.address, suite.training.address)) as client:
        (tmp_path / "rows.csv").write_bytes(b"".join(client.export_rows("sealed", "csv")))
    assert "ann@" not in (tmp_path / "rows.csv").read_text()
    key = str(suite.folder / "keys" / "main")
    status, out, err = call("restore", "rows.csv", "--key-file", key)
    assert status == 0
    assert "ann@example.cn" in out
    assert "1 tokens restored" in err
    (tmp_path / "wrong").write_bytes(b"x" * 32)
    status, _, err = call("restore", "rows.csv", "--key-file", "wrong", "--out", "out.csv")
    assert status == 1
    assert "not made with this key" in err
    assert not (tmp_path / "out.csv").exists()
