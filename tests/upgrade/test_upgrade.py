"""What released versions wrote is read by this one: the same resources, the same answers, trainings that go on."""

import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from support.stacks import ForkingStack
from support.waiting import until_sync
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED
from symbiont.cli.target import endpoints_of
from symbiont.client import Client, training_spec
from symbiont.local.home import Home
from upgrade.answers import answers
from upgrade.write import STATES

WRITTEN = sorted(STATES.glob("*.tar.xz"))


def test_there_are_states() -> None:
    assert "0.1.0" in {path.name.removesuffix(".tar.xz") for path in WRITTEN}


@pytest.fixture(scope="module", params=WRITTEN, ids=lambda path: path.name.removesuffix(".tar.xz"))
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("upgrade") / "home")
    with tarfile.open(request.param) as archive:
        archive.extractall(made.root, filter="data")
    return made


@pytest.fixture(scope="module")
def said(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home.root / "answers.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[Client]:
    with ForkingStack(home, insecure=True) as stack:
        stack.wait_ready()
        with Client(endpoints_of(stack.record.addresses)) as client:
            yield client


def test_it_answers_what_it_answered(client: Client, said: dict[str, Any]) -> None:
    now = answers(client)
    assert set(said) <= set(now)
    for name, before in said.items():
        if not isinstance(before, list) or isinstance(before[0], str):
            assert now[name] == before, name
            continue
        for one, other in zip(now[name], before, strict=True):
            assert one == pytest.approx(other, abs=1e-4), name


def test_a_paused_training_goes_on(client: Client, said: dict[str, Any]) -> None:
    (job,) = (name for name, state in said["jobs"].items() if state == "JOB_STATE_PAUSED")
    step = client.get_training_job(job).progress.step
    assert step > 60
    client.resume_training_job(job)
    lines = [event.log_line.text for event in client.watch_training_job(job)]
    assert client.get_training_job(job).state == JOB_STATE_SUCCEEDED
    assert any(line.startswith("resuming after step ") for line in lines)


def test_what_is_there_is_learnt_from(client: Client) -> None:
    spec = training_spec(base_model="tiny", dataset="rows", model="mood", start_from="mood@production", epochs=1)
    job = client.create_training_job(spec).name
    list(client.watch_training_job(job))
    assert client.get_training_job(job).state == JOB_STATE_SUCCEEDED
    client.rollback("mood")
    # Inference sees it a moment later.
    before = "models/mood/versions/1"
    until_sync(lambda: client.predict("mood", ["a good bank"]).model_version == before)
