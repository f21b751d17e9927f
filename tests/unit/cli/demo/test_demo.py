"""The demo's steps against the fake suite, and its verdict."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sklearn.metrics import f1_score

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.demo import command, load, quality, report, steps, texts
from symbiont.cli.demo.texts import LabelledSet, Row
from symbiont.client import Client
from symbiont.client.channels import Endpoints
from symbiont.local.home import Home, RunRecord, own_identity


def labelled(model: str, wrong: int = 0) -> LabelledSet:
    rows = [Row(f"{'good' if i % 2 else 'bad'} text {i} of {model}", "yes" if i % 2 else "no") for i in range(60)]
    held_out = [Row(r.text, r.label if i >= wrong else "no") for i, r in enumerate(rows[40:])]
    return LabelledSet(model, "a test", tuple(rows[:40]), tuple(held_out))


@pytest.fixture
def client(suite: Any) -> Iterator[Client]:
    with Client(Endpoints(suite.address, suite.address, suite.address)) as made:
        yield made


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_a_second_run_finds_its_work_done(client: Client, suite: Any, console: Any, tmp_path: Path) -> None:
    sets = [labelled("a"), labelled("b")]
    for _ in range(2):
        steps.register_base(client, console)
        uploaded = steps.upload_sets(client, console, sets, tmp_path)
        jobs = steps.train_all(client, console, uploaded)
    assert [job.model_version for job in jobs] == ["models/a/versions/1", "models/b/versions/1"]
    assert len(suite.state.jobs) == 2
    assert len(suite.state.datasets) == 4
    out = console.file.getvalue()
    assert "bases/minilm is registered already" in out
    assert "a: trained already by an earlier run (jobs/j1)" in out


def test_running_jobs_are_followed(client: Client, suite: Any, console: Any, tmp_path: Path) -> None:
    uploaded = steps.upload_sets(client, console, [labelled("a"), labelled("b")], tmp_path)
    suite.state.train_when_watched = True
    for job in steps.train_all(client, console, uploaded):
        assert job.state == pb.JOB_STATE_SUCCEEDED
    out = console.file.getvalue()
    assert "a: step 2/2" in out
    assert "b: step 2/2" in out


def test_a_failed_job_is_tried_again_by_the_next_run(client: Client, suite: Any, console: Any, tmp_path: Path) -> None:
    uploaded = steps.upload_sets(client, console, [labelled("a")], tmp_path)
    steps.train_all(client, console, uploaded)
    suite.state.jobs["jobs/j1"].state = pb.JOB_STATE_FAILED
    assert steps.train_all(client, console, uploaded)[0].name == "jobs/j2"
    suite.state.jobs["jobs/j2"].state = pb.JOB_STATE_CANCELLED
    assert steps.train_all(client, console, uploaded)[0].name == "jobs/j3"


@pytest.mark.parametrize(("wrong", "status"), [(0, 0), (8, 1)])
def test_the_whole_demo(
    suite: Any, wrong: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    home = Home(tmp_path)
    addresses = dict.fromkeys(("training", "inference", "tokenization"), suite.address)
    home.write_run(RunRecord(supervisor=own_identity(), addresses=addresses, metrics_urls={"training": "http://m/"}))
    monkeypatch.setattr(texts, "labelled_sets", lambda: [labelled("a"), labelled("b", wrong)])
    monkeypatch.setattr(command, "baseline_accuracy", lambda labelled: 0.9)
    if status:
        with pytest.raises(command.typer.Exit):
            command.demo(home=tmp_path)
    else:
        command.demo(home=tmp_path)
    out, err = capsys.readouterr()
    assert out.index("1/7") < out.index("7/7")
    assert "http://m/" in out
    assert str(tmp_path / "artifacts" / "bundles" / ("b" * 64)) in out
    assert "100.0 %" in out
    assert ("not above its baseline" in err) == bool(status)


def test_served_answers_keep_their_order(client: Client, suite: Any, console: Any, tmp_path: Path) -> None:
    sets = [labelled("a"), labelled("b")]
    steps.train_all(client, console, steps.upload_sets(client, console, sets, tmp_path))
    served = asyncio.run(load.serve_held_out(Endpoints(suite.address, suite.address, suite.address), sets))
    for made in sets:
        assert [p.label for p in served.predictions[made.model]] == [row.label for row in made.held_out]
        assert report.result_of(made, served, 0.5).accuracy == 1
        assert 0 < served.percentile(made.model, 0.5) <= served.percentile(made.model, 0.95)
    assert served.texts_per_second > 0


def test_quality() -> None:
    truth, predicted = list("aabbbc"), list("abbbca")
    assert quality.accuracy(truth, predicted) == 0.5
    assert quality.macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert quality.baseline_accuracy(labelled("a")) == 1
