"""Tenants over one real training service: shredding one makes its data unreadable, and nobody else's."""

import sys
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.sealed import keyring_of, make_key, places_with
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import dataset_pb2_grpc, training_job_pb2_grpc
from symbiont.api.training.v1.dataset_pb2 import (
    CleanTransform,
    GetDatasetRequest,
    ListDatasetsRequest,
    PrepareDatasetRequest,
    Transform,
)
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED, PauseTrainingJobRequest
from symbiont.cli.app import app

TENANTS = ("acme", "globex")
HYPER = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02, "max_tokens": 24}


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    key = make_key(tmp_path / "keys" / "master")
    (tmp_path / "home").mkdir()
    suite = Suite(tmp_path / "home", encryption="on", master_key=key)
    suite.training.see(Path(__file__).parents[1])
    suite.training.run([sys.executable, "-m", "support.tenant_service", "training"])
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(tmp_path / "tiny"))
    yield suite
    suite.channel.close()
    suite.training.stop()
    suite.tokenization.stop()


def seen_by(suite: Suite, tenant: str) -> Suite:
    """Returns the suite as a caller of a tenant has it."""
    found = copy(suite)
    channel = grpc.intercept_channel(suite.channel, Named(f"{tenant}/ana"))
    found.datasets = dataset_pb2_grpc.DatasetServiceStub(channel)
    found.jobs = training_job_pb2_grpc.TrainingJobServiceStub(channel)
    return found


class Named(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
):
    """Says who calls."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _call(self, go_on: Any, details: Any, request: Any) -> Any:
        return go_on(details._replace(metadata=[("symbiont-principal", self._name)]), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = _call


def refused(call: Callable[[], object]) -> str:
    """Returns why a call fails as the state does not allow it; empty where it does not."""
    try:
        call()
    except grpc.RpcError as exc:
        assert exc.code() == grpc.StatusCode.FAILED_PRECONDITION  # noqa: PT017, what is expected is what it says
        return str(exc.details())
    return ""


# Two uploads, two works of the gate, and a training of whom is left.
@pytest.mark.timeout(400)
def test_one_tenant_is_shredded_and_the_other_goes_on(suite: Suite, tmp_path: Path) -> None:
    rows, tenants = csv_of(labelled_rows(120)), {tenant: seen_by(suite, tenant) for tenant in TENANTS}
    digests = {}
    for tenant, each in tenants.items():
        each.upload(f"{tenant}-raw", rows)
        transforms = [Transform(clean=CleanTransform())]
        name = f"datasets/{tenant}-raw"
        asked = PrepareDatasetRequest(name=name, dataset_id=f"{tenant}-rows", transforms=transforms)
        *_, last = each.datasets.PrepareDataset(asked)
        digests[tenant] = last.dataset.digest
    # The same rows, and nobody can tell.
    assert digests["acme"] != digests["globex"]
    acme, globex = tenants["acme"], tenants["globex"]
    waiting = acme.create(dataset="datasets/acme-rows", lora={}, hyperparameters=HYPER)
    acme.jobs.PauseTrainingJob(PauseTrainingJobRequest(name=waiting.name))

    where = ["--artifact-root", str(suite.folder / "artifacts"), "--master-key", f"file:{tmp_path}/keys/master"]
    app(["keys", "shred", "acme", "--yes", *where], standalone_mode=False)

    def read() -> object:
        return acme.datasets.GetDataset(GetDatasetRequest(name="datasets/acme-rows"))

    # A process believes for a moment what it knows of keys.
    until_sync(lambda: "keys of tenant acme were destroyed" in refused(read), 30)
    for call in (
        lambda: acme.get(waiting.name),
        lambda: acme.upload("acme-more", rows),
        lambda: acme.create(dataset="datasets/acme-rows", lora={}, hyperparameters=HYPER),
    ):
        assert "keys of tenant acme were destroyed" in refused(call)
    # Others see, and train on, what is theirs.
    listed = globex.datasets.ListDatasets(ListDatasetsRequest()).datasets
    assert {each.name for each in listed} == {"datasets/globex-raw", "datasets/globex-rows"}
    job = globex.create(dataset="datasets/globex-rows", lora={}, hyperparameters=HYPER)
    until_sync(lambda: globex.get(job.name).HasField("end_time"), 250)
    assert globex.get(job.name).state == JOB_STATE_SUCCEEDED
    assert suite.training.process.poll() is None
    keyring = keyring_of(suite.folder / "artifacts", tmp_path / "keys" / "master")
    shredded = {keys.tenant: keys.shredded for keys in keyring.tenants()}
    assert shredded == {"": False, "acme": True, "globex": False}
    assert places_with([labelled_rows(120)[0][0]], suite.folder) == []
