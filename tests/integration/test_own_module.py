"""A customer's own layers from an installed package to the real Triton, which has not got the package."""

import importlib.util
import json
import random
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from support.attempts import Run
from support.own_package import install
from support.registry import tiny_spec
from support.tasks import HEADS
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings, RuntimeName
from symbiont.training import bases, types
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

pytestmark = pytest.mark.timeout(400)
TOLERANCE = 1e-4
HYPER = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01}
OWN = {"own_module": {"name": "crossed", "settings": json.dumps({"size": 7, "parts": 3})}}
# Every head that takes one, beside each kind of adapter; `plain` and `tokens` have none.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "classification": ("classification", {"lora": {}, **OWN}),
    "fields": ("fields", {"houlsby": {"size": 4}, **OWN}),
    "fields-gated": ("fields-gated", {"prefix": {"virtual_tokens": 3}, **OWN}),
    "multi-label": ("multi-label", {"head_only": {}, "hidden_layers": [6], **OWN}),
    "score": ("score", {"adalora": {"rank": 2}, "own_module": {"name": "picky", "settings": '{"mode": "right"}'}}),
    "plain": ("classification", {"lora": {}}),
    "tokens": ("entities", {"lora": {}}),
}
# A module between fields and a head beside a prefix, and a bundle without one.
FEW = ("fields-gated", "plain")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def bundles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, artifacts: ArtifactStore) -> Any:
    """The bundles of some cases, made while the package is there; it is gone before anything is served."""
    package = install(tmp_path_factory.mktemp("packages"))
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(package)
        made = trained(tmp_path_factory, artifacts, request.param)
    shutil.rmtree(package)
    del sys.modules["customer_layers"]
    return made


def trained(tmp_path_factory: pytest.TempPathFactory, artifacts: ArtifactStore, names: Sequence[str]) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("registry")
    store = Store(f"sqlite:///{folder}/symbiont.db")
    source = types.Source("folder", str(save_base(folder / "tiny")))
    store.add_base(bases.register(artifacts, "tiny", source, "tests", "MIT"))
    made = {}
    for name in names:
        head, changes = CASES[name]
        store.add_dataset(HEADS[head].dataset(artifacts, name))
        spec = tiny_spec(dataset=f"datasets/{name}", hyperparameters=HYPER, **{**HEADS[head].head, **changes})
        made[name] = Run(store, artifacts)(Attempt("job-test", *resolve(spec, store), ""))
    store.close()
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TritonServer]:
    async with TritonServer(find_triton(start=Path(__file__).parent), tmp_path_factory.mktemp("triton")) as server:
        yield server


def asked_of(artifacts: ArtifactStore, digest: str) -> list[tuple[Row, tuple[float, ...]]]:
    """Returns a bundle's golden rows, and what the network that was trained gave for them."""
    golden = load_bundle(artifacts, digest).manifest.golden
    features = golden.features or ((),) * len(golden.input_ids)
    return [
        (Row(np.array(ids, np.int32), digest, 0, np.array(beside, np.float32)), logits)
        for ids, logits, beside in zip(golden.input_ids, golden.logits, features, strict=True)
    ]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("bundles", "runtime"),
    [
        pytest.param(FEW, "openvino", id="few-openvino"),
        pytest.param(tuple(CASES), "openvino", id="all-openvino", marks=pytest.mark.slow),
        pytest.param(tuple(CASES), "torch", id="all-torch", marks=pytest.mark.slow),
    ],
    indirect=["bundles"],
)
async def test_a_host_without_the_package_answers_as_training_did(
    triton: TritonServer, artifacts: ArtifactStore, bundles: dict[str, str], runtime: RuntimeName
) -> None:
    assert importlib.util.find_spec("customer_layers") is None
    # Three times each row, so that batches have other numbers of rows than training had.
    rows = [pair for digest in bundles.values() for pair in asked_of(artifacts, digest)] * 3
    random.Random(6).shuffle(rows)
    settings = HostSettings(artifacts.root, threads=1, precision="fp32", runtime=runtime)
    base = load_bundle(artifacts, bundles["plain"]).manifest.base_digest
    async with HostClient(triton.url, settings) as client:
        await client.ensure_host(base)
        answer = await client.infer_rows(base, [row for row, _ in rows], timeout_s=120.0)
        for got, (_, logits) in zip(answer.rows, rows, strict=True):
            np.testing.assert_allclose(got, logits, rtol=0, atol=TOLERANCE)
        alone = await client.infer_rows(base, [rows[0][0]], timeout_s=120.0)
        np.testing.assert_allclose(alone.rows[0], answer.rows[0], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_services_know_what_workers_have(tmp_path: Path) -> None:
    suite = Suite(tmp_path, plan_seconds=1, warm_workers=False)
    suite.training.see(install(tmp_path / "packages"))
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(tmp_path / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(60)))
    hyper = pb.Hyperparameters(epochs=1)
    with pytest.raises(grpc.RpcError) as refused:
        suite.create(own_module=pb.OwnModule(name="crosed"), hyperparameters=hyper)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "training_job.spec.own_module.name: no module 'crosed' is installed here" in refused.value.details()
    assert "crossed, deep" in refused.value.details()
    made = suite.create(own_module=pb.OwnModule(name="crossed", settings='{"size": 5}'), hyperparameters=hyper)
    wrong = suite.create(own_module=pb.OwnModule(name="crossed", settings='{"sise": 5}'), hyperparameters=hyper)
    assert suite.states(made.name)[-1] == "SUCCEEDED", suite.get(made.name).failure
    # Its graph is all that is kept of the module.
    with pytest.raises(grpc.RpcError) as refused:
        suite.create(start_from=suite.get(made.name).model_version, hyperparameters=hyper)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "has a graph, which learns no more: start from the base" in refused.value.details()
    assert suite.states(wrong.name)[-1] == "FAILED"
    failure = suite.get(wrong.name).failure
    assert failure.kind == pb.FAILURE_KIND_CONFIG
    assert "'crossed' cannot be made with these settings: TypeError" in failure.message
    assert "'sise'" in failure.message
    assert suite.get(wrong.name).attempt == 1
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


@pytest.mark.slow
def test_a_worker_without_the_package_says_so(tmp_path: Path) -> None:
    """Where workers have packages of their own, only they can tell."""
    suite = Suite(tmp_path, worker_program=f"{sys.executable} -m symbiont.training.worker")
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(tmp_path / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(60)))
    job = suite.create(own_module=pb.OwnModule(name="crossed"), hyperparameters=pb.Hyperparameters(epochs=1))
    assert suite.states(job.name)[-1] == "FAILED"
    failure = suite.get(job.name).failure
    assert failure.kind == pb.FAILURE_KIND_CONFIG
    assert "no module 'crossed' is installed here; installed: none" in failure.message
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0
