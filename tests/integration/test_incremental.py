"""Versions trained on from versions through the real services, served by the real Triton, and subjects forgotten."""

import asyncio
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from support.tiny import labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.api.training.v1.training_job_pb2 import TrainingJob
from symbiont.bundle import load_bundle
from symbiont.cli.app import app
from symbiont.client import AsyncClient, Client, RequestError, training_spec
from symbiont.client.channels import Endpoints
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings
from symbiont.training.erasure.types import digest_of
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

pytestmark = pytest.mark.timeout(300)
TARGETS = ["query", "key", "value", "dense"]
HYPER: dict[str, Any] = {"epochs": 5, "batch_size": 8, "learning_rate": 0.005, "max_tokens": 24}
CANARY, SUBJECT = "zebra quartz", "Ann-Q-4711"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    suite = Suite(folder)
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(folder / "tiny"))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


@pytest.fixture(scope="module")
def client(suite: Suite) -> Iterator[Client]:
    with Client(Endpoints(training=suite.training.address, tokenization=suite.tokenization.address)) as client:
        yield client


@pytest.fixture(scope="module")
def first(suite: Suite, client: Client) -> str:
    """models/mood/versions/1, which knows good from bad."""
    upload(client, suite, "first", [{"text": text, "label": label} for text, label in labelled_rows(600)])
    job = train(client, dataset="first", method="lora", target_modules=TARGETS, **HYPER)
    assert job.evaluation.accuracy >= 0.8
    return job.model_version


def upload(client: Client, suite: Suite, name: str, rows: list[dict[str, str]], **columns: Any) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    file = suite.folder / f"{name}.csv"
    file.write_text(out.getvalue())
    client.create_dataset(name, file, **columns)
    file.unlink()


def train(client: Client, **options: Any) -> TrainingJob:
    job = client.create_training_job(training_spec(base_model="tiny", model="mood", **options))
    return ended(client, job.name)


def ended(client: Client, name: str) -> TrainingJob:
    until_sync(lambda: client.get_training_job(name).HasField("end_time"), 120)
    return client.get_training_job(name)


def test_a_version_is_trained_on_and_served(suite: Suite, client: Client, first: str) -> None:
    rows = [*labelled_rows(80, seed=4), *((f"what is the rate {n} of this card", "ask") for n in range(40))]
    upload(client, suite, "grown", [{"text": text, "label": label} for text, label in rows])
    options: dict[str, Any] = {"dataset": "grown", "start_from": first, "epochs": 4, "batch_size": 8}
    with pytest.raises(RequestError, match="does not know 'ask'"):
        train(client, **options)
    with pytest.raises(RequestError, match=r"rank: it is given as 4, where models/mood/versions/1 has 8"):
        train(client, rank=4, allow_new_labels=True, **options)
    client.promote(first)
    job = train(client, replay=True, allow_new_labels=True, **{**options, "start_from": "mood@production"})
    assert job.state == pb.JOB_STATE_SUCCEEDED, job.failure
    assert job.spec.start_from == first
    assert list(job.spec.lora.target_modules) == TARGETS
    assert job.spec.hyperparameters.max_tokens == HYPER["max_tokens"]
    assert list(job.spec.classification.labels) == ["bad", "good", "ask"]
    changes = {change.label: change for change in job.evaluation.class_changes}
    assert set(changes) == {"bad", "good", "ask"}
    assert changes["good"].before > 0.7
    # The rows that judged the first version judge this one, too.
    assert job.evaluation.row_count == 120 + 16 + 8

    artifacts = ArtifactStore(suite.folder / "artifacts")
    version, before = client.get_model_version(job.model_version), client.get_model_version(first)
    manifest = load_bundle(artifacts, version.bundle_digest).manifest
    assert manifest.lineage.started_from == before.bundle_digest
    asyncio.run(_served_as_trained(artifacts, suite.folder, version.bundle_digest))


async def _served_as_trained(artifacts: ArtifactStore, folder: Path, digest: str) -> None:
    manifest = load_bundle(artifacts, digest).manifest
    rows = [Row(np.array(ids, np.int32), digest) for ids in manifest.golden.input_ids]
    async with (
        TritonServer(find_triton(start=Path(__file__).parent), folder / "triton") as server,
        HostClient(server.url, HostSettings(artifacts.root, threads=1, precision="fp32")) as hosts,
    ):
        await hosts.ensure_host(manifest.base_digest)
        answer = await hosts.infer_rows(manifest.base_digest, rows, timeout_s=120.0)
    np.testing.assert_allclose(np.array(answer.rows), manifest.golden.logits, rtol=0, atol=1e-4)


def test_a_label_map_that_was_exchanged_fails_the_job(suite: Suite, client: Client, first: str) -> None:
    other = {"good": "bad", "bad": "good"}
    rows = [{"text": text, "label": other[label]} for text, label in labelled_rows(80, seed=9)]
    upload(client, suite, "exchanged", rows)
    job = train(client, dataset="exchanged", start_from=first)
    assert job.failure.kind == pb.FAILURE_KIND_DATA
    assert "rows of 'bad' for 'good'" in job.failure.message
    assert "accept_changed_labels" in job.failure.message


@pytest.mark.slow
def test_a_killed_worker_goes_on_from_its_checkpoint(suite: Suite, client: Client, first: str) -> None:
    upload(client, suite, "more", [{"text": text, "label": label} for text, label in labelled_rows(60, seed=8)])
    options: dict[str, Any] = {"dataset": "more", "start_from": first, "epochs": 30, "checkpoint_interval": 10}
    whole = client.get_model_version(train(client, **options).model_version)
    job = client.create_training_job(training_spec(base_model="tiny", model="mood", batch_size=16, **options))
    worker = suite.worker(job.name, 1)
    until_sync(lambda: bool(client.get_training_job(job.name).checkpoints), 60)
    worker.kill()
    again = ended(client, job.name)
    assert (again.state, again.attempt) == (pb.JOB_STATE_SUCCEEDED, 2), again.failure
    assert client.get_model_version(again.model_version).bundle_digest != ""
    assert suite.weights_digest(job.name) == suite.weights_digest(whole.training_job)


def test_a_subject_is_forgotten(suite: Suite, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"text": f"{text} {CANARY}" if n % 5 == 0 else text, "label": label, "who": SUBJECT if n % 5 == 0 else "others"}
        for n, (text, label) in enumerate(labelled_rows(60, seed=2))
    ]
    upload(client, suite, "people", rows, subject_column="who")
    parts = client.split_dataset("people", "people-train", "people-test")
    job = train(client, dataset="people-train", evaluation_dataset="people-test", epochs=1)
    client.promote(job.model_version)
    assert _files_with(suite.folder, CANARY)

    planned = client.forget_subject(SUBJECT, dry_run=True)
    assert sorted(name for d in planned.datasets for name in d.names) == [
        "datasets/people",
        "datasets/people-test",
        "datasets/people-train",
    ]
    assert _files_with(suite.folder, CANARY)

    monkeypatch.setenv("SYMBIONT_TRAINING_ADDRESS", suite.training.address)
    shown = CliRunner().invoke(app, ["datasets", "forget", SUBJECT, "--retrain"])
    assert shown.exit_code == 0, shown.output
    assert "people-train" in shown.output
    assert "serve on until you replace them" in " ".join(shown.output.split())

    # All of the state: rows, database, logs, what jobs were told.
    assert _files_with(suite.folder, CANARY) == []
    assert _files_with(suite.folder, SUBJECT) == []
    version = client.get_model_version(job.model_version)
    assert version.trained_on_erased
    people, left = client.get_dataset("people"), client.get_dataset("people-train")
    assert people.row_count == 48
    assert left.digest != parts.train.digest
    assert [step.WhichOneof("step") for step in left.transforms] == ["split", "erasure"]
    assert left.transforms[1].erasure.subject_digest == digest_of(SUBJECT)
    assert [parent.digest for parent in left.parents] == [people.digest]

    async def again() -> Any:
        async with AsyncClient(Endpoints(training=suite.training.address)) as other:
            return await other.forget_subject(SUBJECT, retrain=True)

    found = asyncio.run(again())
    assert list(found.datasets) == list(found.model_versions) == list(found.training_jobs) == []
    (queued,) = found.retraining_jobs
    retrained = ended(client, queued)
    assert retrained.state == pb.JOB_STATE_SUCCEEDED, retrained.failure
    assert not client.get_model_version(retrained.model_version).trained_on_erased
    assert _files_with(suite.folder, CANARY) == []


def _files_with(folder: Path, text: str) -> list[Path]:
    """Returns the files that hold a text; what is stored here is not compressed."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
