"""An attempt, in process: it learns, it resumes bit-exactly, and what it stores is what it trained."""

import gc
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from support.attempts import HYPER, METHODS, Run
from support.registry import upload
from support.sampling import few
from support.tiny import csv_of, labelled_rows
from symbiont.bundle import load_bundle, read_manifest
from symbiont.bundle.tensors import adalora_triples
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine import openvino_stored
from symbiont.training import types
from symbiont.training.heads import head_for
from symbiont.training.heads.layers import tensors_of
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import Diverged, StopRequested, Unusable
from symbiont.training.worker.loop import Loop
from symbiont.training.worker.network import Network, build_network
from symbiont.training.worker.task import make_material, read_divided


@pytest.fixture
def run(registry: Store, artifacts: ArtifactStore) -> Run:
    return Run(registry, artifacts)


@pytest.mark.parametrize("method", few(METHODS, "lora", "houlsby", "prefix-projected"))
def test_it_learns_and_stores_a_bundle(run: Run, method: str) -> None:
    attempt = run.attempt(**METHODS[method])
    bundle = load_bundle(run.artifacts, run(attempt))
    assert (bundle.manifest.base_digest == attempt.inputs.base_digest) == (method != "full")
    assert bundle.manifest.labels == ("bad", "good")
    assert bundle.manifest.lineage.job == "jobs/job-test"
    (evaluation,) = run.of(types.Evaluation)
    assert evaluation.row_count == sum(map(sum, evaluation.confusion_matrix)) == 8
    profile = bundle.manifest.profile
    assert profile
    # What it answered is what the matrix has in its columns.
    assert profile.labels == tuple(map(sum, zip(*evaluation.confusion_matrix, strict=True)))
    assert sum(profile.scores) == 8
    # Of two classes the better has at least half.
    assert not any(profile.scores[:5])
    progress = run.of(types.Progress)
    assert progress[-1].step == progress[-1].total_steps == 24
    assert [c.step for c in run.of(types.CheckpointSaved)] == [5, 10, 15, 20, 24]


def test_a_quantised_form_that_cannot_be_used_costs_no_training(run: Run) -> None:
    plain = run(run.attempt())
    attempt = run.attempt()
    assert run(replace(attempt, inputs=replace(attempt.inputs, quantized_digest="e" * 64))) == plain
    assert read_manifest(run.artifacts, plain).int8 is None
    (said,) = [line.text for line in run.of(types.LogLine) if "int8" in line.text]
    assert "could not be checked: quantized/eee" in said


def test_enough_rows_are_learnt(run: Run, artifacts: ArtifactStore) -> None:
    run.registry.add_dataset(upload(artifacts, csv_of(labelled_rows(600)), "many"))
    lora = {"target_modules": ["query", "key", "value", "dense"]}
    hyper = {**HYPER, "epochs": 5, "batch_size": 16, "learning_rate": 0.01, "checkpoint_interval": 1000}
    run(run.attempt(dataset="datasets/many", lora=lora, hyperparameters=hyper))
    (evaluation,) = run.of(types.Evaluation)
    assert evaluation.row_count == 120
    assert evaluation.accuracy >= 0.8


def test_steps_leave_nothing_behind(run: Run) -> None:
    # Where torch notes who has seeded devices that nobody uses yet.
    noted = torch.cuda._queued_calls
    before = len(noted)
    run(run.attempt())
    assert run.of(types.Progress)[-1].step > 10
    assert len(noted) - before < 10


@pytest.mark.parametrize(
    ("method", "stop_after"),
    few(
        [
            ("lora", 1),
            ("lora", 7),
            ("lora", 23),
            *((method, 7) for method in METHODS if method != "lora"),
            ("adalora", 20),
        ],
        ("lora", 7),
        ("adalora", 20),
        ("full", 7),
    ),
)
def test_a_resumed_training_gives_the_same_bundle_bit_for_bit(run: Run, method: str, stop_after: int) -> None:
    attempt = run.attempt(**METHODS[method])
    whole = run(attempt)
    checkpoint = run.until(stop_after, attempt)
    assert run(replace(attempt, checkpoint_digest=checkpoint.digest)) == whole
    assert any(f"resuming after step {stop_after}" == line.text for line in run.of(types.LogLine))


def test_a_damaged_checkpoint_means_starting_over(run: Run, artifacts: ArtifactStore) -> None:
    attempt = run.attempt()
    whole = run(attempt)
    digest = run.of(types.CheckpointSaved)[-1].digest
    state = artifacts.root / "checkpoints" / digest / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"\0\0")
    artifacts = ArtifactStore(artifacts.root)
    run.artifacts = artifacts
    assert run(replace(attempt, checkpoint_digest=digest)) == whole
    assert any(line.text == "starting over" for line in run.of(types.LogLine))
    (warning,) = run.of(types.Warning)
    assert warning.code == "CHECKPOINT_LOST"
    assert "differs from its digest" in warning.text


def test_another_networks_checkpoint_is_not_taken(run: Run) -> None:
    run(run.attempt(head_only={}))
    digest = run.of(types.CheckpointSaved)[-1].digest
    run(replace(run.attempt(), checkpoint_digest=digest))
    assert any("another network" in warning.text for warning in run.of(types.Warning))


def test_seeds_matter(run: Run) -> None:
    assert run(run.attempt()) != run(run.attempt(hyperparameters={**HYPER, "seed": 1}))


def test_numbers_that_run_away_are_noticed(run: Run) -> None:
    with pytest.raises(Diverged, match="lower the learning rate"):
        run(run.attempt(lora={"alpha": 1e30}, hyperparameters={**HYPER, "learning_rate": 1.0}))


def test_no_text_of_the_dataset_is_in_the_bundle(run: Run) -> None:
    attempt = run.attempt()
    bundle = load_bundle(run.artifacts, run(attempt), expected_base=attempt.inputs.base_digest)
    rows = run.tokenize(attempt.inputs.tokenizer_digest, _texts(run, attempt), 64)
    trained = {tuple(row.ids.tolist()) for row in rows}
    assert trained.isdisjoint(bundle.manifest.golden.input_ids)


def _texts(run: Run, attempt: Attempt) -> list[str]:
    from symbiont.training.data.rows import read_rows

    return [row.text for row in read_rows(run.artifacts, attempt.inputs.dataset_digest)]


def test_it_leaves_the_graph_that_hosts_compute(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = run.attempt()
    for digest in run.artifacts.list("graphs"):
        run.artifacts.delete("graphs", digest)
    plain = run(attempt)
    assert [run.artifacts.manifest("graphs", digest)["facts"]["digest"] for digest in run.artifacts.list("graphs")] == [
        attempt.inputs.base_digest
    ]
    networks: list[int] = []

    def count(*_: object) -> None:
        networks.append(sum(type(thing) is Network for thing in gc.get_objects()))

    for digest in run.artifacts.list("graphs"):
        run.artifacts.delete("graphs", digest)
    with monkeypatch.context() as patched:
        patched.setattr(openvino_stored, "load_graph", count)
        assert run(attempt) == plain
    assert networks == [0]
    assert run(attempt) == plain
    # What is there is not looked at, and OpenVINO not loaded.
    monkeypatch.setitem(sys.modules, "symbiont.engine.openvino_stored", None)
    assert run(attempt) == plain
    assert not [line.text for line in run.of(types.LogLine) if "convert the base" in line.text]
    for digest in run.artifacts.list("graphs"):
        run.artifacts.delete("graphs", digest)
    assert run(attempt) == plain
    (said,) = [line.text for line in run.of(types.LogLine) if "convert the base" in line.text]
    assert said.startswith("hosts will convert the base themselves: ")


@pytest.mark.parametrize(
    ("batch", "accumulation", "parts"), few([(8, 1, 2), (4, 2, 2), (4, 2, 8), (2, 4, 3)], (2, 4, 3))
)
def test_a_step_in_parts_learns_what_a_step_at_once_does(run: Run, batch: int, accumulation: int, parts: int) -> None:
    plain = {**HYPER, "learning_rate": 0.01}
    lora = {"dropout": 0.0}
    whole = load_bundle(run.artifacts, run(run.attempt(hyperparameters=plain, lora=lora)), expected_base=None)
    hyper = {**plain, "batch_size": batch, "accumulation_steps": accumulation}
    attempt = replace(run.attempt(hyperparameters=hyper, lora=lora), micro_batches=parts)
    progress = len(run.of(types.Progress))
    parted = load_bundle(run.artifacts, run(attempt), expected_base=None)
    last = run.of(types.Progress)
    assert len(last) > progress
    assert (last[-1].step, last[-1].total_steps) == (24, 24)
    # The head's own dropout draws other numbers for parts, which moves the weights a little.
    assert set(parted.adapter) == set(whole.adapter)
    assert last[-1].loss == pytest.approx(last[progress - 1].loss, abs=0.2)


def test_checkpoints_are_judged_and_the_best_is_finished_with(run: Run) -> None:
    hyper = {**HYPER, "epochs": 40, "learning_rate": 0.3, "evaluate_checkpoints": True, "checkpoint_interval": 2}
    attempt = run.attempt(hyperparameters=hyper)
    steps = iter(range(1, 1000))
    digest = run(attempt, lambda: Command.FINISH if next(steps) == 31 else Command.GO)
    saved = run.of(types.CheckpointSaved)
    assert saved[-1].step == 31
    best = min(saved, key=lambda s: s.evaluation_loss)
    (evaluation,) = run.of(types.Evaluation)
    assert evaluation.loss == pytest.approx(best.evaluation_loss)
    metrics = [dict(m.values) for m in run.of(types.Metrics) if "evaluation_loss" in dict(m.values)]
    assert [m["evaluation_loss"] for m in metrics] == [s.evaluation_loss for s in saved]
    # Another worker that is only to finish makes the same bundle of it.
    run.reports.clear()
    later = replace(attempt, checkpoint_digest=saved[-1].digest, best_digest=best.digest, finish=True)
    assert run(later) == digest
    assert run.of(types.Progress) == []
    assert any(line.text == f"finishing with step {best.step}" for line in run.of(types.LogLine))


def test_what_is_to_be_dropped_makes_no_checkpoint(run: Run) -> None:
    steps = iter(range(1, 100))
    with pytest.raises(StopRequested):
        run(run.attempt(), lambda: Command.DROP if next(steps) == 3 else Command.GO)
    assert run.of(types.CheckpointSaved) == []


def test_a_latest_checkpoint_that_is_damaged_gives_way_to_the_best(run: Run, artifacts: ArtifactStore) -> None:
    attempt = run.attempt()
    whole = run(attempt)
    first, *_, last = run.of(types.CheckpointSaved)
    artifacts.delete("checkpoints", last.digest)
    assert run(replace(attempt, checkpoint_digest=last.digest, best_digest=first.digest)) == whole
    assert any(line.text == f"resuming after step {first.step}" for line in run.of(types.LogLine))


def test_adalora_prunes_to_the_rank_that_was_asked_for(run: Run) -> None:
    bundle = load_bundle(run.artifacts, run(run.attempt(adalora={"rank": 2, "initial_rank": 4})))
    ranks = [len(triple.e) for triple in adalora_triples(bundle.adapter).values()]
    # Two layers with a query and a value each; which of them keep what is up to the training.
    assert len(ranks) == 4
    assert sum(ranks) == 2 * 4
    assert max(ranks) <= 4


def test_the_head_alone_learns_from_what_the_base_gave_once(run: Run, artifacts: ArtifactStore) -> None:
    """What the head alone learns from cached features is what it would learn from the base at every step."""
    attempt = run.attempt(head_only={})
    bundle = load_bundle(run.artifacts, run(attempt))
    network = build_network(attempt.spec, artifacts.path("bases", attempt.inputs.base_digest), "mean")
    # Dropout of the base is off, as in the features.
    network.base.eval()
    network.base.train = lambda mode=True: network.base  # type: ignore[method-assign]
    kept = read_divided(artifacts, attempt.spec, attempt.inputs).kept
    head, settings = head_for(attempt.spec)
    made = make_material(attempt, run.tokenize, settings, (), kept)
    criterion, hyper = head.criterion(settings, made.targets), attempt.spec.hyperparameters
    nothing = lambda _: None  # noqa: E731
    Loop(network, criterion, made.examples, made.targets, hyper, nothing, nothing, lambda: Command.GO).run()
    for name, tensor in tensors_of(network.head).items():
        np.testing.assert_allclose(bundle.head[name], tensor.detach().numpy(), rtol=0, atol=1e-5)


def test_a_training_that_gets_no_better_ends_early_with_its_best(run: Run) -> None:
    hyper = {**HYPER, "epochs": 30, "checkpoint_interval": 4, "patience": 2, "learning_rate": 0.02}
    attempt = run.attempt(full={}, hyperparameters=hyper)
    assert attempt.spec.hyperparameters.evaluate_checkpoints
    assert attempt.spec.hyperparameters.keep_best
    digest = run(attempt)
    saved = run.of(types.CheckpointSaved)
    best = min(saved, key=lambda checkpoint: checkpoint.evaluation_loss)
    # One step more than the checkpoint at which it was enough, whose own checkpoint is judged too.
    assert saved[-1].step == best.step + 2 * 4 + 1 < run.of(types.Progress)[-1].total_steps
    (evaluation,) = run.of(types.Evaluation)
    assert evaluation.loss == best.evaluation_loss
    assert any("the training ends early" in line.text for line in run.of(types.LogLine))
    # Broken off after its best checkpoint, it waits no longer than it would have.
    again = Run(run.registry, run.artifacts)
    rest = replace(attempt, checkpoint_digest=best.digest, best_digest=best.digest, best_loss=best.evaluation_loss)
    assert again(rest) == digest
    # Broken off when it was enough, it learns no more.
    for last in saved[-2:]:
        again.reports.clear()
        assert again(replace(rest, checkpoint_digest=last.digest)) == digest
        assert again.of(types.Progress) == []


def test_where_the_best_checkpoint_is_lost_it_is_never_enough(run: Run) -> None:
    hyper = {**HYPER, "epochs": 2, "checkpoint_interval": 2, "patience": 1}
    attempt = run.attempt(hyperparameters=hyper)
    run(replace(attempt, best_digest="b" * 64, best_loss=-1.0))
    assert run.of(types.Progress)[-1].step == 8
    assert [warning.code for warning in run.of(types.Warning)] == ["CHECKPOINT_LOST"] * 2


def test_the_best_by_a_chosen_measure_is_kept(run: Run) -> None:
    hyper = {**HYPER, "epochs": 4, "checkpoint_interval": 2, "keep_best": True, "selection_metric": "accuracy"}
    run(run.attempt(hyperparameters=hyper))
    saved = run.of(types.CheckpointSaved)
    (evaluation,) = run.of(types.Evaluation)
    assert saved[-1].step == run.of(types.Progress)[-1].total_steps
    assert -min(checkpoint.evaluation_loss for checkpoint in saved) == evaluation.accuracy


def test_nothing_is_made_where_it_is_to_finish_and_no_checkpoint_is_left(run: Run) -> None:
    attempt = replace(run.attempt(), checkpoint_digest="c" * 64, best_digest="d" * 64, finish=True)
    with pytest.raises(Unusable, match="no checkpoint is left to make a version of"):
        run(attempt)
    assert [warning.code for warning in run.of(types.Warning)] == ["CHECKPOINT_LOST"] * 2
    assert run.of(types.Evaluation) == []
