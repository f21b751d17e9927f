"""The stored graph of a base: made once, found by all, told from a damaged one, and done without where none can be."""

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support.bundles import random_rows, tiny_base
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, IntegrityError, NotFound, Unavailable
from symbiont.engine import openvino_convert
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.openvino_stored import GRAPH, KIND, PROBES, WEIGHTS, load_graph
from symbiont.engine.row import Row

# What a host does, in a process that has imported nothing yet.
HOST = """
import sys
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.loading import load_runtime
from symbiont.engine.settings import HostSettings
store = ArtifactStore(sys.argv[1])
load_runtime(HostSettings(store.root, sys.argv[2], threads=1), store)
print(sorted({"torch", "transformers"} & set(sys.modules)))
"""


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def base(store: ArtifactStore) -> str:
    return tiny_base(store)


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of the bases that were converted."""
    done: list[str] = []
    convert = openvino_convert.convert

    def count(encoder):
        done.append(encoder.facts.digest)
        return convert(encoder)

    monkeypatch.setattr(openvino_convert, "convert", count)
    return done


def _answers(store: ArtifactStore, base: str) -> np.ndarray:
    return np.array(Engine(OpenVinoRuntime(store, base, threads=1), store).infer([Row(ids) for ids in random_rows(6)]))


def test_the_second_host_loads_what_the_first_stored(store, base, conversions):
    first = _answers(store, base)
    (digest,) = store.list(KIND)
    assert list(store.tags(KIND)) == [digest]
    assert set(store.manifest(KIND, digest)["files"]) == {GRAPH, WEIGHTS, PROBES}
    np.testing.assert_array_equal(_answers(store, base), first)
    assert conversions == [base]
    loaded, converted = load_graph(store, base), load_graph(ArtifactStore(store.root), base)
    assert (loaded.facts, loaded.form, loaded.linears) == (converted.facts, converted.form, converted.linears)


def test_a_host_that_finds_a_graph_imports_no_torch(store, base):
    load_graph(store, base)
    said = subprocess.run(
        [sys.executable, "-c", HOST, str(store.root), base], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / WEIGHTS).write_bytes(b"\0" * (folder / WEIGHTS).stat().st_size),
        lambda folder: (folder / PROBES).unlink(),
        lambda folder: (folder / "manifest.json").write_text("{}"),
    ],
    ids=["weights", "probes", "manifest"],
)
def test_a_damaged_graph_is_made_anew(store, base, conversions, caplog, damage: Callable[[Path], object]):
    first = _answers(store, base)
    damage(store.root / KIND / store.list(KIND)[0])
    other = ArtifactStore(store.root)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(_answers(other, base), first)
    assert "is converted anew" in caplog.text
    np.testing.assert_array_equal(_answers(ArtifactStore(store.root), base), first)
    assert conversions == [base, base]


def test_an_id_that_stands_for_nothing_is_given_anew(store, base, conversions):
    load_graph(store, base)
    (digest,) = store.list(KIND)
    (store.root / KIND / digest).rename(store.root / "elsewhere")
    load_graph(ArtifactStore(store.root), base)
    load_graph(ArtifactStore(store.root), base)
    assert conversions == [base, base]


def test_the_graph_of_another_base_is_not_taken_for_this_ones(store, base):
    other = tiny_base(store, initializer_range=0.1)
    expected = _answers(store, base)
    load_graph(store, other)
    of_other = next(digest for digest in store.list(KIND) if store.manifest(KIND, digest)["facts"]["digest"] == other)
    (identifier,) = store.tags(KIND)[next(digest for digest in store.list(KIND) if digest != of_other)]
    (store.root / f"{KIND}.ids" / identifier).write_text(of_other)
    np.testing.assert_array_equal(_answers(ArtifactStore(store.root), base), expected)


def _refuse(error: Exception) -> Callable[..., object]:
    def refuse(*_, **__) -> object:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("symbiont.common.artifacts.ArtifactStore.put", OSError(errno.ENOSPC, "No space left on device")),
        ("symbiont.common.artifacts.ArtifactStore.tag", PermissionError(errno.EPERM, "no links here")),
        ("openvino.save_model", RuntimeError("Can't open bin file.")),
        ("symbiont.common.artifacts.ArtifactStore.put", FailedPrecondition("s3 refuses access")),
    ],
    ids=["store", "id", "temporary folder", "object store"],
)
def test_a_graph_that_cannot_be_stored_keeps_no_host_from_serving(
    store, base, conversions, monkeypatch, caplog, what, error
):
    monkeypatch.setattr(what, _refuse(error))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(_answers(store, base), _answers(store, base))
    assert "is not stored" in caplog.text
    assert conversions == [base, base]


def test_where_the_graph_cannot_be_asked_for_it_is_made(store, base, conversions, monkeypatch):
    load_graph(store, base)
    monkeypatch.setattr(store, "resolve", _refuse(Unavailable("s3 does not answer")))
    load_graph(store, base)
    assert conversions == [base, base]


def test_where_nothing_may_be_written_the_graph_is_made_each_time(store, base, conversions, monkeypatch):
    # Nothing is written anywhere, not in a temporary folder either.
    monkeypatch.setattr("openvino.save_model", _refuse(AssertionError("it was written")))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    np.testing.assert_array_equal(_answers(store, base), _answers(store, base))
    assert (conversions, store.list(KIND)) == ([base, base], [])


def test_of_two_that_convert_at_once_one_graph_stays(store, base, monkeypatch):
    tag = store.tag

    def late(kind, identifier, digest):
        monkeypatch.undo()
        tag(kind, identifier, ArtifactStore(store.root).put(kind, {"of-the-other": b"1"}, {}))
        tag(kind, identifier, digest)

    monkeypatch.setattr(store, "tag", late)
    load_graph(store, base)
    assert [set(store.manifest(KIND, digest)["files"]) for digest in store.list(KIND)] == [{"of-the-other"}]


def test_a_base_is_checked_though_its_graph_is_there(store, base):
    load_graph(store, base)
    weights = store.root / "bases" / base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\7")
    with pytest.raises(IntegrityError, match=r"model\.safetensors differs"):
        load_graph(ArtifactStore(store.root), base)
    store.delete("bases", base)
    with pytest.raises(NotFound):
        load_graph(ArtifactStore(store.root), base)
