"""A real training by the `kubernetes` executor: a simulated API server, and a node that runs pods as processes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.kubernetes_api import SimulatedApi, simulated_api
from support.kubernetes_kubelet import Kubelet, kubelet
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.client import Client, Endpoints

ROLE = Path(__file__).parents[2] / "k8s/components/kubernetes-executor/role.yaml"
ENDLESS = pb.Hyperparameters(epochs=1000, batch_size=4, checkpoint_interval=20)


@pytest.fixture(scope="module")
def api() -> Iterator[SimulatedApi]:
    with simulated_api() as server:
        # The controller may do what its role lets it do.
        server.rules = yaml.safe_load(ROLE.read_text())["rules"]
        yield server


@pytest.fixture(scope="module")
def node(api: SimulatedApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    with kubelet(api, tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture(scope="module")
def suite(api: SimulatedApi, node: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(api.config(folder)))
        suite = Suite(
            folder,
            executor="kubernetes",
            kubernetes_image="symbiont/training:0.1.0",
            worker_program=f"{sys.executable} -m symbiont.training.worker",
            start_timeout_seconds=60,
            lease_seconds=1,
        )
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(folder / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(64)))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


def pods_of(job: str, attempt: int) -> list[str]:
    name = f"symbiont-{job.removeprefix('jobs/')}-{attempt}"
    return [f"{name}-{rank}-x{rank}" for rank in range(2)]


def progress(suite: Suite, job: str, attempt: int) -> int:
    """Returns the step of an attempt that runs, and -1 while it does not."""
    found = suite.get(job)
    runs = found.attempt == attempt and found.state == pb.JOB_STATE_RUNNING
    return found.progress.step if runs else -1


@pytest.mark.slow
def test_ranks_outlive_their_controller_and_not_each_other(api: SimulatedApi, node: Kubelet, suite: Suite) -> None:
    job = suite.create(hyperparameters=ENDLESS, ranks=2).name
    until_sync(lambda: progress(suite, job, 1) > 0, 90)
    suite.training.kill()
    suite.training.start()
    # The next controller adopts them by their name.
    before = progress(suite, job, 1)
    until_sync(lambda: progress(suite, job, 1) > max(before, 0), 90)
    node.processes[pods_of(job, 1)[1]].kill()
    until_sync(lambda: progress(suite, job, 2) > 0, 90)
    with Client(Endpoints(training=suite.training.address)) as client:
        client.cancel_training_job(job, keep_work=True)
        assert suite.states(job)[-1] == "CANCELLED"
        assert list(suite.bundle(job).glob("*.safetensors"))
        until_sync(lambda: ends(api) == ["Failed", "Complete"], 60)
        assert all(node.processes[name].poll() == 0 for name in pods_of(job, 2))
        said = b"".join(client.read_training_log(job, attempt=2))
    assert said == api.cluster.logs[pods_of(job, 2)[0]]


def ends(api: SimulatedApi) -> list[str]:
    """Returns how the Jobs that have ended did."""
    with api.lock:
        found = [job["status"].get("conditions", []) for job in api.cluster.kinds("Job")]
    return [conditions[-1]["type"] for conditions in found if conditions]
