import json
import threading

import numpy as np
import pytest
import torch

from symbiont.bundle import load_bundle, read_manifest
from symbiont.bundle.store import ADAPTER, HEAD, KIND
from symbiont.bundle.tensors import bottlenecks, folded, lora_pairs
from symbiont.common.errors import IntegrityError, NotFound

QUERY = "encoder.layer.0.attention.self.query"
MODULE = f"base_model.model.{QUERY}"


def test_what_is_written_is_read(store, draft):
    digest = draft.write(store)
    bundle = load_bundle(store, digest, expected_base="b" * 64)
    assert bundle.digest == digest
    assert bundle.manifest.model_copy(update={"files": {}}) == draft.manifest
    assert set(bundle.manifest.files) == {ADAPTER, HEAD}
    for key, value in draft.adapter.items():
        np.testing.assert_array_equal(bundle.adapter[key], value)
    np.testing.assert_array_equal(bundle.head["weight"], draft.head["weight"])
    assert lora_pairs(bundle.adapter)[QUERY].a.shape == (2, 8)


def test_torch_tensors_give_the_same_digest(store, draft):
    digest = draft.write(store)
    draft.adapter = {key: torch.tensor(value, requires_grad=True) for key, value in draft.adapter.items()}
    assert draft.write(store) == digest


def test_a_bundle_without_an_adapter_has_no_adapter_file(store, draft):
    draft.fields["method"] = {"kind": "none"}
    draft.adapter = {}
    digest = draft.write(store)
    assert set(read_manifest(store, digest).files) == {HEAD}
    assert load_bundle(store, digest).adapter == {}


@pytest.mark.parametrize("digest", ["a" * 64, "../../etc", ""])
def test_an_unknown_digest_is_not_found(store, digest):
    with pytest.raises(NotFound):
        load_bundle(store, digest)


def test_another_base_is_refused(store, draft):
    digest = draft.write(store)
    with pytest.raises(IntegrityError, match="made for the base"):
        load_bundle(store, digest, expected_base="e" * 64)


@pytest.mark.parametrize("file", [ADAPTER, HEAD, "manifest.json"])
def test_a_flipped_bit_is_found_each_time(store, draft, file):
    digest = draft.write(store)
    load_bundle(store, digest)
    path = store.root / KIND / digest / file
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="differs from its digest"):
        load_bundle(store, digest)


def test_a_missing_file_is_named(store, draft):
    digest = draft.write(store)
    (store.root / KIND / digest / HEAD).unlink()
    with pytest.raises(IntegrityError, match=HEAD):
        load_bundle(store, digest)


def _change(draft, key, value):
    tensors = draft.head if key in draft.head else draft.adapter
    tensors[key] = value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("weight", np.ones((3, 8)), "weight"),
        ("bias", np.zeros((2, 1)), "bias"),
        ("weight", np.full((2, 8), np.nan), "NaN"),
        (f"base_model.model.{QUERY}.lora_A.weight", np.full((2, 8), np.inf), "infinity"),
        (f"base_model.model.{QUERY}.lora_A.weight", np.ones((3, 8)), "lora_A"),
        (f"base_model.model.{QUERY}.lora_B.weight", np.ones((8, 3)), "lora_B"),
        (f"base_model.model.{QUERY}.lora_B.weight", np.ones(8), "lora_B"),
        ("base_model.model.encoder.key.lora_A.weight", np.ones((2, 8)), "lacks its lora_B"),
        ("base_model.model.encoder.bias", np.ones(8), "not a LoRA weight"),
    ],
)
def test_wrong_tensors_are_neither_written_nor_loaded(store, draft, monkeypatch, key, value, message):
    _change(draft, key, np.asarray(value, dtype=np.float32))
    with pytest.raises(IntegrityError, match=message):
        draft.write(store)
    assert store.list(KIND) == []
    with monkeypatch.context() as patched:
        patched.setattr("symbiont.bundle.tensors.check", lambda *_: None)
        digest = draft.write(store)
    with pytest.raises(IntegrityError, match=f"{digest}.*{message}"):
        load_bundle(store, digest)


def test_tensors_that_the_method_does_not_have_are_refused(store, draft):
    draft.fields["method"] = {"kind": "none"}
    with pytest.raises(IntegrityError, match="none"):
        draft.write(store)


def test_a_module_that_is_no_target_is_refused(store, draft):
    draft.fields["method"]["target_modules"] = ["value"]
    with pytest.raises(IntegrityError, match="matches none of target_modules"):
        draft.write(store)


def test_a_manifest_that_is_not_understood_is_refused(store, draft):
    files = {HEAD: b"x"}
    fields = draft.manifest.model_dump(mode="json", exclude={"files"}) | {"surprise": 1}
    with pytest.raises(IntegrityError, match="surprise"):
        read_manifest(store, store.put(KIND, files, fields))


def test_an_unexpected_file_is_refused(store, draft):
    fields = draft.manifest.model_dump(mode="json", exclude={"files"})
    with pytest.raises(IntegrityError, match=r"model\.bin"):
        load_bundle(store, store.put(KIND, {HEAD: b"x", "model.bin": b"x"}, fields))


def test_a_file_that_is_no_safetensors_is_refused(store, draft):
    fields = draft.manifest.model_dump(mode="json", exclude={"files"})
    with pytest.raises(IntegrityError, match="not a safetensors file"):
        load_bundle(store, store.put(KIND, {HEAD: b"x" * 100, ADAPTER: json.dumps({}).encode()}, fields))


def test_concurrent_writers_of_one_bundle_agree(store, draft):
    digests: list[str] = []
    threads = [threading.Thread(target=lambda: digests.append(draft.write(store))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1
    load_bundle(store, digests[0])


def _adalora(draft, rank: int = 2) -> None:
    draft.fields["method"] = {"kind": "adalora", "rank": 4, "alpha": 4.0, "target_modules": ["query"]}
    generator = np.random.default_rng(2)
    shapes = {"A": (rank, 8), "B": (8, rank), "E": (rank, 1)}
    draft.adapter = {
        f"{MODULE}.lora_{part}": generator.normal(size=shape).astype(np.float32) for part, shape in shapes.items()
    }


@pytest.mark.parametrize("rank", [0, 2, 4])
def test_an_adalora_adapter_of_any_rank_up_to_its_first_is_kept(store, draft, rank):
    _adalora(draft, rank)
    bundle = load_bundle(store, draft.write(store))
    (pair,) = folded(bundle.manifest.method, bundle.adapter).values()
    a, b, e = (draft.adapter[f"{MODULE}.lora_{part}"] for part in "ABE")
    np.testing.assert_allclose(pair.b @ pair.a, 4.0 / (4 + 1e-5) * b @ np.diag(e[:, 0]) @ a, atol=1e-5)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("E", lambda e: e[:1], "lora_A of .* has shape"),
        ("E", lambda e: e[:, 0], "lora_E of .* has shape"),
        ("E", lambda e: np.ones((5, 1), np.float32), "lora_E of .* has shape"),
        ("B", lambda b: b.T.copy(), "lora_B of .* has shape"),
        ("A", lambda a: a * np.float32("nan"), "NaN"),
        ("A", None, "lacks its lora_A"),
    ],
)
def test_a_wrong_adalora_adapter_is_refused(store, draft, part, change, message):
    _adalora(draft)
    key = f"{MODULE}.lora_{part}"
    value = draft.adapter.pop(key)
    if change:
        draft.adapter[key] = change(value)
    with pytest.raises(IntegrityError, match=message):
        draft.write(store)


def _houlsby(draft) -> None:
    draft.fields["method"] = {"kind": "houlsby", "size": 3, "target_modules": ["query"]}
    shapes = {"down.weight": (3, 8), "down.bias": (3,), "up.weight": (8, 3), "up.bias": (8,)}
    draft.adapter = {f"{MODULE}.adapter_{part}": np.ones(shape, np.float32) for part, shape in shapes.items()}


def test_a_houlsby_adapter_is_kept(store, draft):
    _houlsby(draft)
    bundle = load_bundle(store, draft.write(store))
    (layer,) = bottlenecks(bundle.adapter).values()
    assert (layer.down.shape, layer.up.shape) == ((3, 8), (8, 3))


@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        ("down.weight", (4, 8), "has the shapes"),
        ("down.bias", (3, 1), "has the shapes"),
        ("up.weight", (3, 8), "has the shapes"),
        ("up.bias", (7,), "has the shapes"),
        ("up.bias", None, "lacks its adapter_up.bias"),
    ],
)
def test_a_wrong_houlsby_adapter_is_refused(store, draft, part, shape, message):
    _houlsby(draft)
    del draft.adapter[f"{MODULE}.adapter_{part}"]
    if shape:
        draft.adapter[f"{MODULE}.adapter_{part}"] = np.ones(shape, np.float32)
    with pytest.raises(IntegrityError, match=message):
        draft.write(store)
