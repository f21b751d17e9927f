"""Heads through the real services: rows uploaded by the client, tokenized by the tokenization service, learnt by a
worker process. What comes out is, bit for bit, what the same attempt makes here with the tokenizers library alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.attempts import Run
from support.sampling import few
from support.tasks import HEADS, HeadCase
from support.tiny import save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED
from symbiont.client import Client
from symbiont.client.channels import Endpoints
from symbiont.common.artifacts import ArtifactStore
from symbiont.training.convert import spec_from_proto
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt

HYPER = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "max_tokens": 16}
# Windows, places, pairs, two texts beside each other, fields: all that a worker asks of tokenization and of rows.
SHOWN = ("entities", "spans", "similarity", "embedding", "multi-label", "fields-gated")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    suite = Suite(folder, plan_seconds=1)
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(folder / "tiny"))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


def upload(client: Client, folder: Path, name: str, case: HeadCase) -> None:
    file = folder / f"{name}.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in case.rows(40)))
    header: dict[str, Any] = {**case.header, "fields": dict(case.header.get("fields", ()))}
    client.create_dataset(name, file, **header)


@pytest.mark.parametrize("name", few(SHOWN, "fields-gated"))
def test_a_head_is_trained_and_planned(suite: Suite, name: str) -> None:
    case = HEADS[name]
    endpoints = Endpoints(training=suite.training.address, tokenization=suite.tokenization.address)
    with Client(endpoints) as client:
        upload(client, suite.folder, name, case)
        asked = suite.spec(dataset=f"datasets/{name}", lora={}, hyperparameters=HYPER, **case.head)
        job = client.create_training_job(asked)
        until_sync(lambda: client.get_training_job(job.name).HasField("end_time"), 120)
        ended = client.get_training_job(job.name)
        assert ended.state == JOB_STATE_SUCCEEDED, ended.failure
        made = client.get_model_version(ended.model_version)
        plan = client.plan_training_job(asked)
    assert plan.total_steps == ended.progress.total_steps
    assert plan.spec == ended.spec
    store = Store(f"sqlite:///{suite.folder}/symbiont.db")
    run = Run(store, ArtifactStore(suite.folder / "artifacts"))
    spec, inputs = resolve(spec_from_proto(asked), store)
    assert run(Attempt(job.name.removeprefix("jobs/"), spec, inputs, "")) == made.bundle_digest
    store.close()
    assert made.evaluation.primary_metric in made.evaluation.metrics
