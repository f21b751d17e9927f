"""A customer's own layers are trained with the head, go on where they were, and are refused before the training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from support.attempts import Run
from support.own_package import NAMES, install
from support.registry import tiny_spec
from symbiont.bundle import ClassificationHead, load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training import own_modules, types
from symbiont.training.heads.layers import HeadLayers, tensors_of
from symbiont.training.resolving import resolve
from symbiont.training.spec import Hyperparameters, OwnModule
from symbiont.training.store import Store
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import Unusable
from symbiont.training.worker.loop import Loop
from symbiont.training.worker.network import Network, OnFeatures, stack
from symbiont.training.worker.own_module import export, make

HYPER = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "checkpoint_interval": 2}
CROSSED = {"own_module": {"name": "crossed", "settings": json.dumps({"size": 7})}, "hidden_layers": [5]}


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(install(folder))


@pytest.fixture
def run(registry: Store, artifacts: ArtifactStore) -> Run:
    return Run(registry, artifacts)


def test_what_is_installed_is_known_by_name_and_not_imported() -> None:
    assert set(own_modules.installed()) == set(NAMES)


def head_with(name: str, **settings: Any) -> HeadLayers:
    torch.manual_seed(0)
    asked = OwnModule(name=name, settings=json.dumps(settings) if settings else "")
    return HeadLayers(9, 2, make_own=lambda width: make(asked, width))


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("unheard-of", {}, r"no module 'unheard-of' is installed here; installed: branching, crossed"),
        ("gone", {}, r"'gone' cannot be made with these settings: AttributeError"),
        ("picky", {}, r"'picky' cannot be made with these settings: TypeError"),
        ("picky", {"mode": "left"}, r"ValueError: there is no mode 'left'"),
        ("nothing", {}, r"'nothing' is a int, not a torch\.nn\.Module"),
        ("deep", {}, r"'deep' is not for a head: it should give fp32 \[rows, 1 to 4096\], and gives \(3, 1, 9\)"),
        ("crossed", {"size": 5000}, r"and gives \(3, 5000\)"),
    ],
)
def test_what_cannot_be_made_says_why(name: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(Unusable, match=problem):
        head_with(name, **settings)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("branching", "cannot be written as ONNX"), ("mixing", "cannot be served: the own module gives a row something")],
)
def test_what_cannot_be_served_is_refused_before_it_is_trained(run: Run, name: str, problem: str) -> None:
    with pytest.raises(Unusable, match=problem):
        run(run.attempt(own_module={"name": name}, hyperparameters=HYPER))
    assert run.of(types.Progress) == []


def test_its_file_tells_no_code(tmp_path: Path) -> None:
    head = head_with("crossed")
    content = export(head, "crossed")
    assert content == export(head, "crossed")
    for word in (b"customer_layers", b"Crossed", str(tmp_path).encode(), b".py"):
        assert word not in content
    # What is its own stands in its file, and not beside the head's.
    assert set(tensors_of(head)) == {"weight", "bias"}
    assert {node.op_type for node in onnx.ModelProto.FromString(content).graph.node} >= {"Softmax", "Gelu"}
    # It goes on learning after that.
    assert head.training
    assert head.own is not None
    assert head.own.training


@pytest.mark.parametrize(("count", "parts", "normed"), [(17, 0, 1), (16, 16, 0)])
def test_a_part_of_one_row_is_learnt_from(count: int, parts: int, normed: int) -> None:
    """A norm over the rows of a part takes what it has learnt of others where there is one row."""
    head = head_with("crossed")
    rows = list(np.random.default_rng(0).normal(size=(count, 9)).astype(np.float32))
    targets = torch.tensor([number % 2 for number in range(count)])
    loop = Loop(
        OnFeatures(Network(torch.nn.Identity(), head, "")),
        torch.nn.functional.cross_entropy,
        rows,
        targets,
        Hyperparameters(epochs=1, batch_size=16),
        lambda _: None,
        lambda _: None,
        lambda: Command.GO,
        micro_batches=parts,
        join=stack,
        lengths=[9] * count,
    )
    assert loop.run() == loop.total_steps == -(-count // 16)
    (norm,) = (part for part in head.modules() if isinstance(part, torch.nn.BatchNorm1d))
    assert norm.training
    assert norm.num_batches_tracked == normed


@pytest.mark.slow
def test_broken_off_and_resumed_it_ends_with_the_same_bytes(run: Run) -> None:
    """The running means of its norm are no parameters, and are what they would have been all the same."""
    attempt = run.attempt(hyperparameters=HYPER, **CROSSED)
    whole = run(attempt)
    bundle = load_bundle(run.artifacts, whole)
    assert isinstance(bundle.manifest.head, ClassificationHead)
    assert bundle.manifest.head.own_module is not None
    assert (bundle.manifest.head.own_module.name, bundle.manifest.head.own_module.outputs) == ("crossed", 7)
    assert bundle.head["layers.0.weight"].shape == (5, 7)
    checkpoint = run.until(2, attempt)
    assert run(replace(attempt, checkpoint_digest=checkpoint.digest)) == whole


def test_it_is_trained(run: Run) -> None:
    bundle = load_bundle(run.artifacts, run(run.attempt(head_only={}, hyperparameters=HYPER, **CROSSED)))
    torch.manual_seed(0)
    made, _ = make(OwnModule(name="crossed", settings=CROSSED["own_module"]["settings"]), 32)
    graph = onnx.ModelProto.FromString(bundle.own_module).graph
    trained = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    before = made.get_parameter("out.weight").detach().numpy()
    assert trained["out.weight"].shape == before.shape
    assert np.abs(trained["out.weight"] - before).max() > 1e-3


def test_a_job_for_workers_with_other_packages_is_not_refused_by_what_is_here(registry: Store) -> None:
    spec = tiny_spec(own_module={"name": "unheard-of"})
    assert resolve(spec, registry)[0].own_module == spec.own_module
    with pytest.raises(InvalidArgument, match=r"spec\.own_module\.name: no module 'unheard-of'.*crossed"):
        resolve(spec, registry, packages_here=True)
    assert resolve(tiny_spec(own_module={"name": "crossed"}), registry, packages_here=True)


@pytest.mark.parametrize("settings", ["[1]", "{", '"x"', "{" * 70_000])
def test_settings_are_a_json_object(settings: str) -> None:
    with pytest.raises(InvalidArgument, match=r"spec\.own_module\.settings"):
        tiny_spec(own_module={"name": "crossed", "settings": settings})


def test_heads_without_layers_take_none(registry: Store) -> None:
    with pytest.raises(
        InvalidArgument, match=r"own_module: the head embedding takes none: classification or multi_label"
    ):
        resolve(tiny_spec(own_module={"name": "crossed"}, embedding={}), registry)
