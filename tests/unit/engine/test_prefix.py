"""Prefixes on encoders of several kinds; that they mix with other adapters is tested with the engine."""

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

from support.bundles import HIDDEN_SIZE, POSITIONS, VOCAB_SIZE, random_bundle, random_rows, store_encoder, tiny_base
from symbiont.bundle import load_bundle, write_bundle
from symbiont.common.errors import IntegrityError, InvalidArgument
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.torch_runtime import TorchRuntime


@pytest.fixture(scope="module")
def roberta(world) -> str:
    """Its positions count from behind the padding's id, and skip padding."""
    torch.manual_seed(3)
    config = RobertaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=HIDDEN_SIZE,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
    )
    return store_encoder(world.store, RobertaModel(config))


def test_a_prefix_changes_the_answer(world, engine):
    prefixed = next(b for b in world.bundles if load_bundle(world.store, b).manifest.method.kind == "prefix")
    bundle = load_bundle(world.store, prefixed)
    row = random_rows(1)[0]
    base = engine.infer([Row(row)])[0]
    plain = base @ bundle.head["weight"].T + bundle.head["bias"]
    assert np.abs(engine.infer([Row(row, prefixed)])[0] - plain).max() > 0.1


def test_roberta_answers_as_peft_does_in_any_mixture(world, roberta):
    shapes = [{"prefix": 4}, {"prefix": 9, "pooling": "cls"}, {"rank": 3}, {"rank": 0}]
    references = dict(random_bundle(world.store, roberta, seed=n, **shape) for n, shape in enumerate(shapes))
    engine = Engine(TorchRuntime(world.store, roberta), world.store)
    rows = [Row(ids, bundle) for ids in random_rows(5, seed=2) for bundle in references]
    for row, answer in zip(rows, engine.infer(rows), strict=True):
        np.testing.assert_allclose(answer, references[row.bundle].answer(row), rtol=0, atol=1e-5)


def test_a_row_that_a_prefix_leaves_no_room_for_fails_alone(world, engine):
    digest, _ = random_bundle(world.store, world.base, prefix=POSITIONS - 20)
    ids = random_rows(1, max_length=1)[0].repeat(21)
    refused, fits, plain = engine.infer([Row(ids, digest), Row(ids[1:], digest), Row(ids)])
    assert isinstance(refused, InvalidArgument)
    assert refused.field == "input_ids"
    assert fits.shape == (3,)
    assert plain.shape == (HIDDEN_SIZE,)


def test_a_prefix_that_leaves_too_few_positions_is_refused(world, engine):
    digest, _ = random_bundle(world.store, world.base, prefix=POSITIONS - 15)
    (error,) = engine.infer([Row(random_rows(1)[0], digest)])
    assert isinstance(error, IntegrityError)
    assert "leaves 15 positions" in str(error)


def test_a_prefix_for_other_layers_is_refused(world, engine):
    digest, _ = random_bundle(world.store, world.base, prefix=2)
    bundle = load_bundle(world.store, digest)
    short = {key: value[:, : 2 * HIDDEN_SIZE] for key, value in bundle.adapter.items()}
    wrong = write_bundle(world.store, bundle.manifest, short, bundle.head)
    (error,) = engine.infer([Row(random_rows(1)[0], wrong)])
    assert isinstance(error, IntegrityError)
    assert "for 1 layers, the base has 2" in str(error)


def test_an_encoder_without_past_keys_takes_no_prefix(world):
    config = DistilBertConfig(vocab_size=VOCAB_SIZE, dim=HIDDEN_SIZE, n_layers=2, n_heads=4, hidden_dim=64)
    base = store_encoder(world.store, DistilBertModel(config))
    bundle = load_bundle(world.store, random_bundle(world.store, tiny_base(world.store), prefix=2)[0])
    manifest = bundle.manifest.model_copy(update={"base_digest": base, "files": {}})
    digest = write_bundle(world.store, manifest, bundle.adapter, bundle.head)
    engine = Engine(TorchRuntime(world.store, base), world.store)
    error, plain = engine.infer([Row(random_rows(1)[0], digest), Row(random_rows(1)[0])])
    assert isinstance(error, IntegrityError)
    assert "takes no prefix" in str(error)
    assert plain.shape == (HIDDEN_SIZE,)
