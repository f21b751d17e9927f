"""The quantised form of a base: an artifact of its own, grafted like the base, and only for bundles that allow it."""

import gc
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from support.bundles import Reference, random_bundle, random_rows, tiny_base
from symbiont.bundle import Int8
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound, ResourceExhausted
from symbiont.engine import openvino_quantized, openvino_runtime
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_encoder import GraphEncoder
from symbiont.engine.openvino_quantize import quantize_base
from symbiont.engine.openvino_quantized import KIND, load_quantized
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.row import Row
from symbiont.engine.runtime import Batch

SHAPES = {
    "head": {"rank": 0},
    "lora": {"rank": 4, "target_modules": ("query", "key", "value", "dense")},
    "houlsby": {"rank": 5, "houlsby": "gelu", "target_modules": ("output.dense",)},
    "bitfit": {"bitfit": True},
    "prefix": {"prefix": 7},
}
EXACT = 1e-5


@dataclass
class Quantized:
    store: ArtifactStore
    base: str
    digest: str
    # By shape, a bundle that may be computed in int8.
    bundles: dict[str, tuple[str, Reference]]

    def permission(self, digest: str = "", *, allowed: bool = True) -> Int8:
        quantized = digest or self.digest
        return Int8(quantized_digest=quantized, rows=500, agreement=1.0, metric_change=0.0, allowed=allowed)

    def bundle(self, digest: str = "", *, allowed: bool = True, seed: int = 50) -> tuple[str, Reference]:
        return random_bundle(self.store, self.base, seed=seed, int8=self.permission(digest, allowed=allowed))

    def engine(self, **settings) -> Engine:
        runtime = OpenVinoRuntime(self.store, self.base, threads=1, **({"precision": "int8"} | settings))
        return Engine(runtime, self.store)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory) -> Quantized:
    store = ArtifactStore(tmp_path_factory.mktemp("artifacts"))
    base = tiny_base(store, initializer_range=0.1)
    made = Quantized(store, base, quantize_base(store, base, random_rows(60, seed=1)), {})
    for seed, (name, shape) in enumerate(SHAPES.items()):
        made.bundles[name] = random_bundle(store, base, seed=seed, int8=made.permission(), **shape)
    return made


@pytest.fixture(scope="module")
def engine(quantized) -> Engine:
    return quantized.engine()


@pytest.fixture
def copy(quantized, tmp_path) -> Quantized:
    """The same in a folder of its own, to be damaged."""
    root = Path(shutil.copytree(quantized.store.root, tmp_path / "copy"))
    return Quantized(ArtifactStore(root), quantized.base, quantized.digest, quantized.bundles)


def _answers(engine: Engine, bundle: str, rows) -> np.ndarray:
    return np.array(engine.infer([Row(ids, bundle) for ids in rows]))


def _without_adapter(engine: Engine, reference: Reference, rows) -> np.ndarray:
    """What a bundle would answer if its adapter were left out."""
    encoded = engine._runtime.encode(Batch(rows, [None] * len(rows), ["mean"] * len(rows), [0] * len(rows)))
    return np.stack(encoded) @ reference.head.weight.detach().numpy().T + reference.head.bias.detach().numpy()


def _with_exact_activations(store: ArtifactStore, digest: str, base: GraphEncoder) -> GraphEncoder:
    loaded = load_quantized(store, digest, base)
    for node in loaded.model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            for consumer in node.output(0).get_target_inputs():
                consumer.replace_source_output(node.input_value(0))
    return loaded


def _error(answers: np.ndarray, expected: np.ndarray) -> float:
    """The error of answers as a part of how much the expected ones differ from row to row."""
    return float(np.sqrt(((answers - expected) ** 2).mean()) / expected.std(axis=0).mean())


def test_the_artifact_says_what_it_is_and_is_small(quantized):
    manifest = quantized.store.manifest(KIND, quantized.digest)
    assert manifest["base_digest"] == quantized.base
    assert (manifest["rows"], set(manifest["versions"])) == (60, {"nncf", "openvino"})
    # Its linear layers, nine tenths of the weights here without the tables, take one byte for four.
    weights = quantized.store.path(KIND, quantized.digest) / "encoder.bin"
    base = quantized.store.path("bases", quantized.base) / "model.safetensors"
    assert weights.stat().st_size < base.stat().st_size * 0.7


@pytest.mark.parametrize("shape", SHAPES)
def test_adapters_of_every_kind_work_on_the_quantised_graph(quantized, engine, shape):
    """A bundle's answers move with its adapter; how far int8 rounds these random ones is another matter."""
    digest, reference = quantized.bundles[shape]
    rows = random_rows(60, seed=3)
    exact = np.array([reference.logits(ids) for ids in rows])
    error = _error(_answers(engine, digest, rows), exact)
    # It is int8: fp32 is exact.
    assert 1e-3 < error < 0.8
    if shape != "head":
        assert error < 0.8 * _error(_without_adapter(engine, reference, rows), exact)


@pytest.mark.parametrize("shape", SHAPES)
def test_grafts_are_where_they_belong_in_a_quantised_graph(quantized, monkeypatch, shape):
    """Without the rounding of activations only that of weights is left, and answers are within a few percent."""
    monkeypatch.setattr(openvino_runtime, "load_quantized", _with_exact_activations)
    engine = quantized.engine()
    digest, reference = quantized.bundles[shape]
    rows = random_rows(60, seed=3)
    exact = np.array([reference.logits(ids) for ids in rows])
    assert _error(_answers(engine, digest, rows), exact) < 0.06
    if shape != "head":
        assert _error(_without_adapter(engine, reference, rows), exact) > 0.4


def test_rows_of_both_precisions_in_one_batch_are_what_they_are_alone(quantized, engine):
    exact = [random_bundle(quantized.store, quantized.base, seed=20 + n, **s) for n, s in enumerate(SHAPES.values())]
    bundles = [*(digest for digest, _ in exact), *(digest for digest, _ in quantized.bundles.values()), ""]
    rows = [Row(ids, bundles[n % len(bundles)]) for n, ids in enumerate(random_rows(90, seed=4, max_length=30))]
    np.random.default_rng(0).shuffle(rows)
    alone = [engine.infer([row])[0] for row in rows]
    references = dict(exact)
    for row, mixed, own in zip(rows, engine.infer(rows), alone, strict=True):
        if row.bundle in references:
            np.testing.assert_allclose(mixed, references[row.bundle].answer(row), rtol=0, atol=EXACT)
        # A last bit of fp32 may turn one rounding to int8.
        np.testing.assert_allclose(mixed, own, rtol=0, atol=0.05 if row.bundle else EXACT)


def test_a_bundle_without_permission_is_computed_in_fp32(quantized, engine):
    digest, reference = quantized.bundle(allowed=False)
    rows = random_rows(6, seed=5)
    expected = [reference.logits(ids) for ids in rows]
    np.testing.assert_allclose(_answers(engine, digest, rows), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_host_that_was_told_otherwise_computes_nothing_in_int8(quantized, precision):
    engine = quantized.engine(precision=precision)
    digest, _ = quantized.bundles["lora"]
    engine.infer([Row(random_rows(1)[0], digest)])
    assert engine._runtime.quantized(quantized.digest, None) is None


@pytest.mark.parametrize("damage", ["missing", "weights", "graph", "another base", "not a graph"])
def test_a_quantised_form_that_cannot_be_used_means_fp32_and_a_warning(copy, damage, caplog):
    folder = copy.store.root / KIND / copy.digest
    digest = copy.digest
    match damage:
        case "missing":
            shutil.rmtree(folder)
        case "weights" | "graph":
            file = folder / ("encoder.bin" if damage == "weights" else "encoder.xml")
            file.write_bytes(file.read_bytes()[:-1] + b"\1")
        case "another base":
            manifest = json.loads((folder / "manifest.json").read_text()) | {"base_digest": "b" * 64}
            files = {name: folder / name for name in ("encoder.xml", "encoder.bin")}
            digest = copy.store.put(KIND, files, {k: v for k, v in manifest.items() if k != "files"})
        case "not a graph":
            fields = copy.store.manifest(KIND, copy.digest)
            files = {"encoder.xml": b"<net/>", "encoder.bin": b""}
            digest = copy.store.put(KIND, files, {k: v for k, v in fields.items() if k != "files"})
    bundle, reference = copy.bundle(digest)
    with caplog.at_level(logging.WARNING):
        rows = random_rows(5, seed=6)
        answers = _answers(copy.engine(), bundle, rows)
    np.testing.assert_allclose(answers, [reference.logits(ids) for ids in rows], rtol=0, atol=EXACT)
    assert "is not computed in int8" in caplog.text
    assert digest in caplog.text


def test_what_is_wrong_with_a_quantised_form_is_said(copy):
    runtime = copy.engine()._runtime
    with pytest.raises(NotFound):
        runtime.quantized("c" * 64, None)
    file = copy.store.root / KIND / copy.digest / "encoder.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(IntegrityError, match=r"encoder\.bin differs"):
        runtime.quantized(copy.digest, None)


def test_quantised_forms_are_shared_bounded_and_let_go(quantized, monkeypatch):
    monkeypatch.setattr(openvino_quantized, "MAX_TABLES", 1)
    fields = {k: v for k, v in quantized.store.manifest(KIND, quantized.digest).items() if k != "files"}
    folder = quantized.store.path(KIND, quantized.digest)
    files = {name: folder / name for name in ("encoder.xml", "encoder.bin")}
    other = quantized.store.put(KIND, files, fields | {"rows": 61})
    runtime = quantized.engine()._runtime
    held = runtime.quantized(quantized.digest, None)
    assert runtime.quantized(quantized.digest, None) is held
    with pytest.raises(ResourceExhausted, match="in use"):
        runtime.quantized(other, None)
    del held
    gc.collect()
    assert runtime.quantized(other, None) is not None


@pytest.mark.slow
def test_quantising_sends_nothing_to_anyone(quantized, tmp_path):
    """Outside of pytest, where NNCF would be quiet by itself: no socket is opened, no process made, nothing noted."""
    program = """
import sys
PARTS = ("socket.", "urllib.", "subprocess.", "os.fork", "os.exec")
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(PARTS) else None)
import numpy as np
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.openvino_quantize import quantize_base
assert "pytest" not in sys.modules
rows = [np.array([1, 5, 9, 4, 2], np.int32)] * 4
quantize_base(ArtifactStore(sys.argv[1]), sys.argv[2], rows)
print("SEEN", seen)
"""
    store = Path(shutil.copytree(quantized.store.root, tmp_path / "copy"))
    command = [sys.executable, "-c", program, str(store), quantized.base]
    done = subprocess.run(command, capture_output=True, text=True, env=_no_ci(tmp_path), check=False)
    assert done.returncode == 0, done.stderr
    assert "SEEN []" in done.stdout, done.stdout
    assert not (tmp_path / "intel").exists()


def _no_ci(home: Path) -> dict[str, str]:
    """An environment in which nothing says that this is a test, and with a home where consent was never asked."""
    quiet = ("CI", "NNCF_CI", "NNCF_DEV", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS")
    return {k: v for k, v in os.environ.items() if k not in quiet} | {"HOME": str(home)}
