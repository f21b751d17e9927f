"""Jobs that make a base, over gRPC: what is refused before any work, and what job and base say when it is done."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format

from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1.training_job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_PAUSED,
    JOB_STATE_RUNNING,
    JOB_STATE_SUCCEEDED,
    TrainingSpec,
)
from symbiont.client import (
    AlreadyExistsError,
    AsyncClient,
    Client,
    InvalidArgumentError,
    NotFoundError,
    RequestError,
    training_spec,
)
from symbiont.client.channels import Endpoints


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """With bases/tiny, datasets/rows, tokenizers/law of the base's, and tokenizers/tiny, its own."""
    suite = Suite(tmp_path_factory.mktemp("suite"), ServiceProcess)
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(suite.folder / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(40)))
    with Client(endpoints(suite)) as client:
        client.derive_tokenizer("tiny", ["estoppel", "不可抗力"], tokenizer_id="law")
        client.derive_tokenizer("law", ["subrogation"], tokenizer_id="more")
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


def endpoints(suite: Suite) -> Endpoints:
    return Endpoints(training=suite.training.address, tokenization=suite.tokenization.address)


def spec_of(**changes: Any) -> TrainingSpec:
    values = {"base_model": "bases/tiny", "dataset": "datasets/rows", "derived_base": "bases/never", **changes}
    return json_format.ParseDict({name: value for name, value in values.items() if value is not None}, TrainingSpec())


SPEC = "training_job.spec"
BAD: dict[str, tuple[dict[str, Any], type[RequestError], str]] = {
    "two outputs": ({"model": "models/m"}, InvalidArgumentError, f"{SPEC}.derived_base"),
    "no output": ({"derived_base": None}, InvalidArgumentError, f"{SPEC}.model"),
    "a model of masked tokens": (
        {"derived_base": None, "model": "models/m", "masked_tokens": {}},
        InvalidArgumentError,
        f"{SPEC}.model",
    ),
    "a malformed name": ({"derived_base": "never"}, InvalidArgumentError, f"{SPEC}.derived_base"),
    "another head": ({"classification": {}}, InvalidArgumentError, f"{SPEC}.classification"),
    "a method that leaves the base": ({"houlsby": {}}, InvalidArgumentError, f"{SPEC}.houlsby"),
    "too much masked": ({"masked_tokens": {"mask_fraction": 0.9}}, InvalidArgumentError, f"{SPEC}.masked_tokens.mask"),
    "nothing to do": ({"hyperparameters": {"epochs": 0}}, InvalidArgumentError, f"{SPEC}.hyperparameters.epochs"),
    "layers of a head": ({"hidden_layers": [8]}, InvalidArgumentError, f"{SPEC}.hidden_layers"),
    "no such tokenizer": (
        {"masked_tokens": {"tokenizer": "tokenizers/none"}},
        NotFoundError,
        f"{SPEC}.masked_tokens.tokenizer",
    ),
    "the tokenizer of the base": (
        {"masked_tokens": {"tokenizer": "tokenizers/tiny"}},
        InvalidArgumentError,
        f"{SPEC}.masked_tokens.tokenizer",
    ),
    "no such base": ({"base_model": "bases/none"}, NotFoundError, f"{SPEC}.base_model"),
    "a name that is taken": ({"derived_base": "bases/tiny"}, AlreadyExistsError, f"{SPEC}.derived_base"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_nothing_is_queued(suite: Suite, case: str) -> None:
    changes, kind, field = BAD[case]
    with Client(endpoints(suite)) as client:
        before = [job.name for job in client.list_training_jobs()]
        with pytest.raises(kind, match=field):
            client.create_training_job(spec_of(**changes))
        assert [job.name for job in client.list_training_jobs()] == before
        assert "bases/never" not in [base.name for base in client.list_base_models()]


def test_a_base_gets_terms_without_training_and_is_derived_from_again(suite: Suite) -> None:
    with Client(endpoints(suite)) as client:
        parent, law = client.get_base_model("tiny"), client.get_tokenizer("law")
        spec = training_spec(base_model="tiny", dataset="rows", derived_base="law", tokenizer="law", epochs=0)
        job = client.create_training_job(spec, request_id="once")
        list(client.watch_training_job(job.name))
        done = client.get_training_job(job.name)
        assert done.state == JOB_STATE_SUCCEEDED, done.failure
        assert (done.derived_base, done.model_version, done.spec.model) == ("bases/law", "", "")
        assert done.evaluation.metrics["loss"] == done.evaluation.metrics["loss_before"]
        base = client.get_base_model("law")
        assert (base.parent, base.parent_digest, base.source.training_job) == (parent.name, parent.digest, job.name)
        assert (base.tokenizer_digest, law.parent) == (law.digest, f"tokenizers/{parent.tokenizer_digest}")
        same = ("architecture", "hidden_size", "max_tokens", "pooling", "license", "kind")
        assert [getattr(base, name) for name in same] == [getattr(parent, name) for name in same]
        # What it made is there by now; the same request is the same job all the same.
        assert client.create_training_job(spec, request_id="once").name == job.name
        assert [event.state_change.reason for event in client.watch_training_job(job.name)][-1] == "made bases/law"


async def test_the_asynchronous_client_makes_one_of_one(suite: Suite) -> None:
    async with AsyncClient(endpoints(suite)) as client:
        # Two steps away from the first base, and one from the other.
        for base_model, name in (("tiny", "far"), ("law-too", "near")):
            if base_model == "law-too":
                await made(client, base_model="tiny", derived_base="law-too", tokenizer="law")
            job = await made(client, base_model=base_model, derived_base=name, tokenizer="more")
            base = await client.get_base_model(name)
            assert (base.parent, base.source.training_job) == (f"bases/{base_model}", job)
            assert base.tokenizer_digest == (await client.get_tokenizer("more")).digest


async def made(client: AsyncClient, **options: Any) -> str:
    job = await client.create_training_job(training_spec(dataset="rows", epochs=0, **options))
    async for _ in client.watch_training_job(job.name):
        pass
    ended = await client.get_training_job(job.name)
    assert ended.state == JOB_STATE_SUCCEEDED, ended.failure
    return job.name


def test_ranks_share_the_rows_of_a_step(suite: Suite) -> None:
    with Client(endpoints(suite)) as client:
        options: dict[str, Any] = {"base_model": "tiny", "dataset": "rows", "tokenizer": "law", "learning_rate": 3e-3}
        job = client.create_training_job(training_spec(**options, derived_base="shared", ranks=2, batch_size=8))
        list(client.watch_training_job(job.name))
        done = client.get_training_job(job.name)
        assert done.state == JOB_STATE_SUCCEEDED, done.failure
        assert done.evaluation.metrics["loss"] < done.evaluation.metrics["loss_before"]
        assert client.get_base_model("shared").digest != client.get_base_model("tiny").digest


def test_it_is_paused_and_resumed_and_its_work_is_kept(suite: Suite) -> None:
    with Client(endpoints(suite)) as client:
        options: dict[str, Any] = {"epochs": 500, "checkpoint_interval": 5, "evaluate_checkpoints": True}
        spec = training_spec(base_model="tiny", dataset="rows", derived_base="kept", batch_size=8, **options)
        job = client.create_training_job(spec).name

        def has(attempt: int, state: Any) -> bool:
            found = client.get_training_job(job)
            return (found.attempt, found.state) == (attempt, state) and bool(found.checkpoints)

        until_sync(lambda: has(1, JOB_STATE_RUNNING), 100)
        client.pause_training_job(job)
        until_sync(lambda: has(1, JOB_STATE_PAUSED), 100)
        paused = client.get_training_job(job).progress.step
        client.resume_training_job(job)
        until_sync(lambda: has(2, JOB_STATE_RUNNING), 100)
        client.cancel_training_job(job, keep_work=True)
        list(client.watch_training_job(job))
        ended = client.get_training_job(job)
        assert (ended.state, ended.derived_base) == (JOB_STATE_CANCELLED, "bases/kept")
        assert paused <= ended.progress.step < ended.progress.total_steps
        assert client.get_base_model("kept").source.training_job == job
