"""Tenants over one real training service: shredding one makes its data unreadable, and nobody else's."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sealed import make_key, places_with, sealed_store
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1.dataset_pb2 import CleanTransform, Transform
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED
from symbiont.cli.app import app
from symbiont.client import Client, FailedPreconditionError
from symbiont.client.channels import Endpoints

TENANTS = ("acme", "globex")
HYPER = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02, "max_tokens": 24}


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    key = make_key(tmp_path / "keys" / "master")
    suite = Suite(tmp_path / "home", encryption="on", master_key=key)
    service = Path(__file__).parents[1] / "support" / "tenant_service.py"
    suite.training.run([sys.executable, str(service), "training"])
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(tmp_path / "tiny"))
    yield suite
    suite.channel.close()
    suite.training.stop()
    suite.tokenization.stop()


# Two uploads, two works of the gate, and a training of whom is left.
@pytest.mark.timeout(400)
def test_one_tenant_is_shredded_and_the_other_goes_on(suite: Suite, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_bytes(csv_of(labelled_rows(120)))
    endpoints = Endpoints(training=suite.training.address, tokenization=suite.tokenization.address)
    clients = {tenant: Client(endpoints, principal=f"{tenant}/ana") for tenant in TENANTS}
    digests = {}
    for tenant, client in clients.items():
        client.create_dataset(f"{tenant}-raw", rows)
        made = client.prepare_dataset(f"{tenant}-raw", f"{tenant}-rows", [Transform(clean=CleanTransform())])
        digests[tenant] = made.digest
    # The same rows, and nobody can tell.
    assert digests["acme"] != digests["globex"]
    acme, globex = clients["acme"], clients["globex"]
    waiting = acme.create_training_job(suite.spec(dataset="datasets/acme-rows", lora={}, hyperparameters=HYPER))
    acme.pause_training_job(waiting.name)

    where = ["--artifact-root", str(suite.folder / "artifacts"), "--master-key", f"file:{tmp_path}/keys/master"]
    app(["keys", "shred", "acme", "--yes", *where], standalone_mode=False)

    def reason() -> str:
        try:
            acme.get_dataset("acme-rows")
        except FailedPreconditionError as exc:
            return exc.reason
        return ""

    # A process believes for a moment what it knows of keys.
    until_sync(lambda: reason() == "TENANT_SHREDDED", 30)
    for call in (
        lambda: acme.validate_dataset("acme-raw"),
        lambda: acme.get_training_job(waiting.name),
        lambda: acme.create_dataset("acme-more", rows),
        lambda: acme.create_training_job(suite.spec(dataset="datasets/acme-rows", lora={}, hyperparameters=HYPER)),
    ):
        with pytest.raises(FailedPreconditionError, match="acme"):
            call()
    # Others see, and train on, what is theirs.
    assert {each.name for each in globex.list_datasets()} == {"datasets/globex-raw", "datasets/globex-rows"}
    job = globex.create_training_job(suite.spec(dataset="datasets/globex-rows", lora={}, hyperparameters=HYPER))
    until_sync(lambda: globex.get_training_job(job.name).HasField("end_time"), 250)
    assert globex.get_training_job(job.name).state == JOB_STATE_SUCCEEDED
    assert suite.training.process.poll() is None
    store = sealed_store(suite.folder / "artifacts", tmp_path / "keys" / "master")
    assert {keys.tenant: keys.shredded for keys in store.seals.keyring.tenants()} == {
        "": False,
        "acme": True,
        "globex": False,
    }
    assert places_with([labelled_rows(120)[0][0]], suite.folder) == []
    for client in clients.values():
        client.close()
