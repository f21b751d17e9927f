"""One bad bundle fails its own rows, says why, and leaves its neighbours' answers as they were."""

import numpy as np
import pytest

from support.bundles import random_bundle, random_rows, tiny_base
from support.poison import narrowed, rewrite, with_nan, with_other_golden, without_dimensions
from symbiont.bundle import load_bundle, write_bundle
from symbiont.common.errors import IntegrityError, Unavailable
from symbiont.engine.row import Row


@pytest.fixture
def refusal(world, engine):
    """Answers one bad row between good ones, checks the good ones, and returns the bad one's error."""

    def ask(digest: str) -> Exception:
        ids, good = random_rows(1, seed=8)[0], world.bundles[4]
        expected = engine.infer([Row(ids, good)])[0]
        first, bad, last = engine.infer([Row(ids, good), Row(ids, digest), Row(ids, good)])
        for answer in (first, last):
            np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
        assert isinstance(bad, Exception)
        assert digest in str(bad)
        assert digest not in engine.resident()
        return bad

    return ask


def test_nan_in_the_adapter(world, refusal):
    digest = rewrite(world.store, world.bundles[0], adapter=with_nan)
    assert isinstance(error := refusal(digest), IntegrityError)
    assert "NaN" in str(error)


def test_nan_in_the_head(world, refusal):
    digest = rewrite(world.store, world.bundles[0], head=with_nan)
    assert isinstance(refusal(digest), IntegrityError)


def test_an_adapter_for_another_width(world, refusal):
    digest = rewrite(world.store, world.bundles[0], adapter=narrowed)
    assert isinstance(error := refusal(digest), IntegrityError)
    assert "(in, out)" in str(error)


def test_an_adapter_that_misses_a_module(world, refusal):
    method = load_bundle(world.store, world.bundles[0]).manifest.method.model_copy(
        update={"target_modules": ("query", "value", "key")}
    )
    digest = rewrite(world.store, world.bundles[0], manifest={"method": method})
    assert isinstance(error := refusal(digest), IntegrityError)
    assert "key" in str(error)


def test_shifts_of_biases_that_are_not_those_of_the_base(world, refusal):
    digest, _ = random_bundle(world.store, world.base, seed=77, bitfit=True)
    bundle = load_bundle(world.store, digest)
    name = "base_model.model.encoder.layer.1.output.LayerNorm.shift"
    assert name in bundle.adapter
    without = {key: value for key, value in bundle.adapter.items() if key != name}
    assert isinstance(
        error := refusal(write_bundle(world.store, bundle.manifest, without, bundle.head)), IntegrityError
    )
    assert "differ in the modules ['encoder.layer.1.output.LayerNorm']" in str(error)
    narrow = {**bundle.adapter, name: bundle.adapter[name][:-1]}
    assert isinstance(error := refusal(write_bundle(world.store, bundle.manifest, narrow, bundle.head)), IntegrityError)
    assert "31" in str(error)
    with pytest.raises(IntegrityError, match="is not a BitFit weight"):
        write_bundle(world.store, bundle.manifest, {"x.bias": bundle.adapter[name]}, bundle.head)
    with pytest.raises(IntegrityError, match=r"not \(out,\)"):
        write_bundle(world.store, bundle.manifest, {name: bundle.adapter[name][None]}, bundle.head)
    with pytest.raises(IntegrityError, match="there are no adapter tensors"):
        write_bundle(world.store, bundle.manifest, {}, bundle.head)


def test_a_head_for_another_hidden_size(world, refusal):
    head = load_bundle(world.store, world.bundles[0]).manifest.head.model_copy(update={"hidden_size": 31})
    digest = rewrite(
        world.store,
        world.bundles[0],
        manifest={"head": head},
        head=lambda key, value: np.ascontiguousarray(value[:, :31]) if key == "weight" else value,
    )
    assert isinstance(error := refusal(digest), IntegrityError)
    assert "31" in str(error)


def test_another_base(world, refusal):
    other = tiny_base(world.store, seed=99)
    digest, _ = random_bundle(world.store, other, seed=99)
    assert isinstance(error := refusal(digest), IntegrityError)
    assert other in str(error)


@pytest.mark.parametrize("file", ["adapter.safetensors", "head.safetensors"])
def test_a_flipped_bit(world, refusal, file):
    digest, _ = random_bundle(world.store, world.base, seed=1234)
    path = world.store.root / "bundles" / digest / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    error = refusal(digest)
    world.store.delete("bundles", digest)
    assert isinstance(error, IntegrityError)
    assert file in str(error)


@pytest.mark.parametrize("wrong", [0.01, 1e30])
def test_golden_logits_that_do_not_come_out(world, refusal, wrong):
    digest = with_other_golden(world.store, world.bundles[0], wrong)
    assert isinstance(error := refusal(digest), IntegrityError)
    assert "golden" in str(error)


@pytest.mark.parametrize(
    ("shape", "ending"),
    [({"houlsby": "gelu"}, "adapter_up.bias"), ({"adalora": True}, "lora_E"), ({"prefix": 3}, "prompt_embeddings")],
)
def test_a_number_in_place_of_a_tensor(world, refusal, shape, ending):
    digest, _ = random_bundle(world.store, world.base, seed=55, **shape)
    assert isinstance(error := refusal(without_dimensions(world.store, digest, ending)), IntegrityError)
    assert "has shape ()" in str(error) or "has the shapes" in str(error)


@pytest.mark.parametrize("outside", [10**6, 1 << 31, 1 << 70, -1])
def test_golden_ids_outside_the_vocabulary(world, refusal, outside):
    golden = load_bundle(world.store, world.bundles[0]).manifest.golden
    golden = golden.model_copy(update={"input_ids": ((outside,), *golden.input_ids[1:])})
    digest = rewrite(world.store, world.bundles[0], manifest={"golden": golden})
    assert isinstance(refusal(digest), IntegrityError)


def test_memory_that_runs_out_while_loading(world, refusal, monkeypatch):
    digest, _ = random_bundle(world.store, world.base, seed=4321)
    real = world.runtime.place

    def place(adapter):
        # Of this bundle only: the good neighbour must still load.
        if next(iter(adapter.pairs.values())).a.shape[0] == 4:
            raise MemoryError
        return real(adapter)

    monkeypatch.setattr(world.runtime, "place", place)
    assert isinstance(refusal(digest), Unavailable)
