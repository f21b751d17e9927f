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
LONG = pb.Hyperparameters(epochs=24, batch_size=4, checkpoint_interval=20)


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


def trains(suite: Suite, job: str, attempt: int) -> None:
    until_sync(lambda: suite.get(job).attempt == attempt and suite.get(job).progress.step > 0, 90)


def test_ranks_outlive_their_controller_and_not_each_other(api: SimulatedApi, node: Kubelet, suite: Suite) -> None:
    job = suite.create(hyperparameters=LONG, ranks=2).name
    trains(suite, job, 1)
    suite.training.kill()
    suite.training.start()
    # The next controller adopts them by their name.
    before = suite.get(job).progress.step
    until_sync(lambda: suite.get(job).progress.step > before, 90)
    assert suite.get(job).attempt == 1
    node.processes[pods_of(job, 1)[1]].kill()
    states = suite.states(job)
    assert states[-4:] == ["STARTING", "RUNNING", "EVALUATING", "SUCCEEDED"], suite.get(job).failure
    assert suite.get(job).attempt == 2
    until_sync(lambda: all(node.processes[name].poll() == 0 for name in pods_of(job, 2)))
    with api.lock:
        ends = [found["status"]["conditions"][-1]["type"] for found in api.cluster.kinds("Job")]
    assert ends == ["Failed", "Complete"]
    with Client(Endpoints(training=suite.training.address)) as client:
        said = b"".join(client.read_training_log(job, attempt=2))
    assert said == api.cluster.logs[pods_of(job, 2)[0]] != b""
