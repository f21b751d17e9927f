"""The trial on a tiny base: the worker's steps, timed one by one, and a network that is itself again after."""

from typing import Any

import numpy as np
import psutil
import pytest
import torch

from symbiont.bundle import write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.openvino_stored import load_graph
from symbiont.training.data.rows import Row as DatasetRow
from symbiont.training.heads import Material, head_for
from symbiont.training.planning import practice as practice_module
from symbiont.training.planning.comparing import compare
from symbiont.training.planning.limits import Limits
from symbiont.training.planning.material import Side
from symbiont.training.planning.practice import Practice
from symbiont.training.planning.sampling import Sample
from symbiont.training.planning.storing import Storing, scratch_store
from symbiont.training.planning.trial import COLD_STEPS, Trial
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import Inputs
from symbiont.training.worker.batches import epoch_batches
from symbiont.training.worker.checkpoint import save_checkpoint
from symbiont.training.worker.judging import Judge
from symbiont.training.worker.network import Network, build_network, infer
from symbiont.training.worker.storing import make_bundle
from symbiont.training.worker.task import Attempt, Task, Texts

RANDOM = np.random.default_rng(0)
LENGTHS = RANDOM.integers(3, 30, 90)
ROWS = [RANDOM.integers(5, 300, length) for length in LENGTHS]
LABELS = ["good" if row % 2 else "bad" for row in range(90)]


@pytest.fixture
def attempt(resolved: tuple[TrainingSpec, Inputs]) -> Attempt:
    return Attempt("plan", *resolved, "")


@pytest.fixture
def network(attempt: Attempt, artifacts: ArtifactStore) -> Network:
    return build_network(attempt.spec, artifacts.path("bases", attempt.inputs.base_digest), attempt.inputs.pooling)


def side(rows: slice) -> Side:
    count = len(ROWS[rows])
    made = material(rows)
    return Side(Texts(made.rows), Sample(np.arange(count), np.zeros(0, np.int64)), made, LENGTHS[rows])


def material(rows: slice) -> Material:
    targets = torch.tensor([sorted(set(LABELS)).index(label) for label in LABELS[rows]])
    return Material(ROWS[rows], targets, [DatasetRow("", label) for label in LABELS[rows]])


def test_steps_are_those_of_the_loop(attempt: Attempt, network: Network) -> None:
    head, settings = head_for(attempt.spec)
    targets = material(slice(None)).targets
    trial = Trial(network, head.criterion(settings, targets), ROWS, targets, attempt.spec.hyperparameters)
    trial.run(600.0, 8)
    trial.run(600.0, 2)
    work = trial.timed().workload()
    # The first steps of a go are kept apart.
    assert (len(trial.cold.rows), len(work)) == (COLD_STEPS + 1, 10 - COLD_STEPS - 1)
    assert min(trial.warm.seconds) > 0
    steps = [batch for epoch in range(2) for batch in epoch_batches(LENGTHS.tolist(), 16, 0, epoch)][:10]
    sizes = [(len(batch), int(LENGTHS[batch].max())) for batch in steps]
    warm = [*sizes[COLD_STEPS:8], sizes[9]]
    assert list(zip(work.rows.tolist(), work.longest.tolist(), strict=True)) == warm


def test_a_trial_that_has_no_time_does_one_step(attempt: Attempt, network: Network) -> None:
    head, settings = head_for(attempt.spec)
    targets = material(slice(None)).targets
    trial = Trial(network, head.criterion(settings, targets), ROWS, targets, attempt.spec.hyperparameters)
    trial.run(0.0, 100)
    assert len(trial.timed().rows) == 1


def test_the_network_is_itself_again(attempt: Attempt, network: Network) -> None:
    before = np.stack(infer(network, ROWS))
    practice = Practice(network, attempt, head_for(attempt.spec)[1], side(slice(60)), Limits(train_seconds=1))
    practice.go(1.0)
    assert not np.allclose(np.stack(infer(network, ROWS)), before, rtol=0, atol=1e-9)
    practice.restore()
    assert np.array_equal(np.stack(infer(network, ROWS)), before)
    part = practice.part()
    assert (part.name, part.shared, practice.steps) == ("train", True, 12)
    assert part.seconds > 0


def test_the_largest_batch_is_tried_as_far_as_there_is_time(
    attempt: Attempt, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    practice = Practice(network, attempt, head_for(attempt.spec)[1], side(slice(60)), Limits(train_seconds=1))
    practice.go(1.0)
    real_forward = Network.forward

    def forward(self: Network, ids: Any, mask: Any) -> Any:
        seen.append(tuple(ids.shape))
        return real_forward(self, ids, mask)

    monkeypatch.setattr(Network, "forward", forward)
    practice.try_largest()
    assert seen == [practice.work.largest()]
    assert practice.beyond == 0
    monkeypatch.setattr(practice_module, "LARGEST_SECONDS", 0.0)
    monkeypatch.setattr(practice_module, "peak_memory_bytes", lambda: psutil.Process().memory_info().rss + 1000.0)
    practice.try_largest()
    # One row took at least a thousand bytes, and the other fifteen are taken to take as many each.
    assert seen[1][0] == 1
    assert practice.beyond >= 15 * 1000


def test_a_step_that_would_take_too_long_is_made_smaller(
    attempt: Attempt, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(practice_module, "STEP_SECONDS", 0.0)
    practice = Practice(network, attempt, head_for(attempt.spec)[1], side(slice(60)), Limits(train_seconds=1))
    practice.go(0.01)
    assert set(practice._trial.timed().rows) == {1}
    # What it foretells is the job all the same.
    assert len(practice.work) == practice.steps == 12


def test_heads_are_compared_on_features_of_the_frozen_base(attempt: Attempt, network: Network) -> None:
    judged, found = compare(network, attempt.inputs.pooling, side(slice(60)), side(slice(60, 90)), 0, 60.0)
    assert judged.features.shape == (90, 32)
    assert sum(judged.timed.rows) == 90
    bare = Network(network.base, torch.nn.Identity(), attempt.inputs.pooling)
    some = np.stack(infer(bare, ROWS))
    assert all(np.abs(some - row).max(axis=1).min() < 1e-5 for row in judged.features)
    assert found is not None
    assert (found.learnt, found.judged, found.usual) == (60, 30, 0.5)
    assert 0 <= found.accuracy <= 1
    _, none = compare(network, attempt.inputs.pooling, side(slice(60)), side(slice(60, 70)), 0, 60.0)
    assert none is None


def test_what_is_stored_for_a_trial_is_gone_after(attempt: Attempt, network: Network, artifacts: ArtifactStore) -> None:
    base = attempt.inputs.base_digest
    for graph in artifacts.list("graphs"):
        artifacts.delete("graphs", graph)
    before = {kind: artifacts.list(kind) for kind in ("bases", "bundles", "checkpoints", "graphs")}
    optimizer = torch.optim.AdamW(network.trainable().values())
    head, settings = head_for(attempt.spec)
    few = material(slice(8))
    task = Task(head, settings, (), few, few)
    evaluation = Judge(network, attempt, task, ROWS[:8]).evaluate()
    with scratch_store(artifacts, base, "") as scratch:
        storing = Storing(artifacts, scratch)
        assert storing.checkpoint(lambda store: save_checkpoint(store, "plan", 0, network, optimizer)) > 0
        seconds, bundle = storing.bundle(lambda: make_bundle(attempt, task, network, evaluation, base))
        assert seconds > 0
        assert storing.graph(base) > 0
        (graph,) = scratch.list("graphs")
        assert scratch.list("bundles") == scratch.list("checkpoints") == []
        folder = scratch.root
    assert not folder.exists()  # type: ignore[union-attr]
    assert {kind: artifacts.list(kind) for kind in before} == before
    # The bundle is one that could be kept.
    assert write_bundle(artifacts, bundle.manifest, bundle.adapter, bundle.head)
    # A graph that is there is lent, and not made anew.
    load_graph(artifacts, base)
    with scratch_store(artifacts, base, "") as scratch:
        (lent,) = scratch.list("graphs")
        assert scratch.path("graphs", lent).resolve() == artifacts.path("graphs", lent).resolve()
        Storing(artifacts, scratch).graph(base)
        assert scratch.list("graphs") == [lent]
    assert graph
    assert artifacts.exists("graphs", lent)
    assert artifacts.exists("bases", base)
