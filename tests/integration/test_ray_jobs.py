"""Whole trainings on a real Ray with two nodes: the same weights as on this machine, and a node that dies."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ray_cluster import RayCluster, needs_ray, ray_cluster
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import training_job_pb2 as pb

pytestmark = [pytest.mark.ray, needs_ray, pytest.mark.timeout(600)]
HYPER = pb.Hyperparameters(epochs=12, batch_size=4, checkpoint_interval=10)
# Long enough that a node dies in the middle of it.
LONG = pb.Hyperparameters(epochs=60, batch_size=4, checkpoint_interval=20)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(nodes=2, cpus=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, cluster: RayCluster) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    suite = Suite(
        folder,
        executor="ray",
        ray_address=cluster.address,
        ray_token=cluster.token,
        ray_python=sys.executable,
        start_timeout_seconds=300,
    )
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(folder / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(64)))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


def finished(suite: Suite, **spec: object) -> str:
    job = suite.create(**spec).name
    states = list(suite.watch_long(job))
    assert states[-1] == "SUCCEEDED", suite.get(job).failure
    return job


def losses(suite: Suite, job: str) -> dict[int, float]:
    return {e.progress.step: e.progress.loss for e in suite.events(job) if e.WhichOneof("event") == "progress"}


def test_the_same_spec_gives_the_same_weights_on_ray_and_here(suite: Suite, tmp_path: Path) -> None:
    on_ray = finished(suite, hyperparameters=HYPER)
    here = Suite(tmp_path)
    here.tokenization.start()
    here.training.start()
    try:
        here.register(suite.folder / "tiny")
        here.upload("rows", csv_of(labelled_rows(64)))
        alone = finished(here, hyperparameters=HYPER)
        print(f"local {here.weights_digest(alone)}, ray {suite.weights_digest(on_ray)}")
        assert here.weights_digest(alone) == suite.weights_digest(on_ray)
    finally:
        here.channel.close()
        here.training.stop()
        here.tokenization.stop()


def test_two_ranks_on_two_nodes_learn_as_one_does(suite: Suite) -> None:
    one, two = (finished(suite, hyperparameters=HYPER, ranks=ranks) for ranks in (1, 2))
    first, second = suite.get(one), suite.get(two)
    print(f"loss on held-out rows: one rank {first.evaluation.loss:.4f}, two ranks {second.evaluation.loss:.4f}")
    assert first.progress.total_steps == second.progress.total_steps
    assert second.progress.loss == pytest.approx(first.progress.loss, rel=0.3, abs=0.05)
    assert second.evaluation.loss == pytest.approx(first.evaluation.loss, rel=0.3, abs=0.05)


def test_a_node_that_dies_costs_an_attempt_and_nothing_else(suite: Suite, cluster: RayCluster) -> None:
    job = suite.create(hyperparameters=LONG, ranks=2).name
    until_sync(lambda: bool(suite.get(job).checkpoints), 120)
    cluster.nodes[-1].kill()
    until_sync(lambda: suite.get(job).attempt == 2, 120)
    cluster.add_node()
    states = list(suite.watch_long(job))
    assert "RECOVERING" in states
    assert states[-1] == "SUCCEEDED", suite.get(job).failure
    texts = [e.log_line.text for e in suite.events(job) if e.WhichOneof("event") == "log_line" and e.attempt > 1]
    assert any(text.startswith("resuming after step ") for text in texts)
