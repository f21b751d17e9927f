"""The compiled runtime against transformers, PEFT and torch, with every kind of adapter in one batch."""

import logging
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

from support.bundles import HIDDEN_SIZE, POSITIONS, VOCAB_SIZE, random_bundle, random_rows, store_encoder
from symbiont.common.errors import NotFound
from symbiont.engine import openvino_graphs
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.row import Row
from symbiont.engine.runtime import Batch
from symbiont.engine.torch_runtime import TorchRuntime

TOLERANCE = 1e-5
BERT = {"hidden_size": HIDDEN_SIZE, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


@pytest.fixture(scope="module")
def runtime(world) -> OpenVinoRuntime:
    return OpenVinoRuntime(world.store, world.base, threads=1)


@pytest.fixture(scope="module")
def engine(world, runtime) -> Engine:
    return Engine(runtime, world.store)


def _rows(world, seed: int, count: int = 24) -> list[Row]:
    choice = random.Random(seed)
    ids = enumerate(random_rows(count, seed=seed))
    return [world.row(row, choice.choice(["", *world.bundles]), seed * count + n) for n, row in ids]


def test_every_bundle_answers_as_transformers_and_peft_do(world, engine):
    """Golden rows included."""
    rows = [world.row(ids, bundle, n) for n, ids in enumerate(random_rows(3, seed=9)) for bundle in world.bundles]
    for row, answer in zip(rows, engine.infer(rows), strict=True):
        np.testing.assert_allclose(answer, world.references[row.bundle].answer(row), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(12))
def test_mixed_is_alone_in_any_order_and_is_torchs(world, engine, seed):
    rows = _rows(world, seed)
    alone = [engine.infer([row])[0] for row in rows]
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    torchs = Engine(world.runtime, world.store).infer(rows)
    for index, answer in zip(order, engine.infer([rows[i] for i in order]), strict=True):
        np.testing.assert_allclose(answer, alone[index], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(answer, torchs[index], rtol=0, atol=TOLERANCE)


def test_lanes_do_not_mix(world):
    """Several threads ask at once; each gets its own answers, also where a batch is cut for both lanes."""
    engine = Engine(OpenVinoRuntime(world.store, world.base, threads=2), world.store)
    assert engine.lanes == 2
    batches = [_rows(world, seed, 30) for seed in range(6)]
    alone = [[engine.infer([row])[0] for row in rows] for rows in batches]
    with ThreadPoolExecutor(len(batches)) as pool:
        for _ in range(5):
            for expected, answers in zip(alone, pool.map(engine.infer, batches), strict=True):
                for one, other in zip(answers, expected, strict=True):
                    np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE)


def test_one_thread_is_one_lane(runtime):
    assert runtime.lanes == 1


def test_one_adapter_for_all_rows_is_the_same_as_in_a_mixture(world, engine):
    """It is broadcast, not gathered."""
    for bundle in world.bundles:
        rows = [world.row(ids, bundle, n) for n, ids in enumerate(random_rows(4, seed=5, max_length=9))]
        mixed = engine.infer([*rows, *(world.row(row.input_ids) for row in rows)])
        for answer, expected in zip(engine.infer(rows), mixed, strict=False):
            np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)


def test_graphs_are_bounded_and_no_batch_compiles_one(world, monkeypatch):
    monkeypatch.setattr(openvino_graphs, "MAX_GRAPHS", 3)
    compiled: list[int] = []
    compile_graph = openvino_graphs.GraphTable._compile

    def count(table, features):
        compiled.append(len(features))
        return compile_graph(table, features)

    monkeypatch.setattr(openvino_graphs.GraphTable, "_compile", count)
    runtime = OpenVinoRuntime(world.store, world.base, threads=1)
    engine = Engine(runtime, world.store)
    bundles = [world.bundles[n] for n in (0, 4, 8, 12, 2)]
    for bundle in bundles:
        engine.infer([world.row(random_rows(1)[0], bundle)])
    loaded = list(compiled)
    rows = [world.row(ids, bundle, 1) for ids in random_rows(3) for bundle in bundles]
    for row, answer in zip(rows, engine.infer(rows), strict=True):
        np.testing.assert_allclose(answer, world.references[row.bundle].answer(row), rtol=0, atol=TOLERANCE)
    # The base; queries and values of two layers; dense ones, then both; with bottlenecks; with prefixes.
    assert compiled == loaded == [0, 4, 10, 14, 16]
    assert len(runtime._graphs._graphs) <= 3


def test_an_answer_outlives_the_next_call(world, runtime):
    rows = random_rows(4, seed=4)
    for view in ("cls", "mean", "tokens"):
        answers = runtime.encode(Batch(rows[:3], [None] * 3, [view, "mean", view], [0] * 3))
        kept = [answer.copy() for answer in answers]
        runtime.encode(Batch(rows[1:], [None] * 3, ["cls"] * 3, [0] * 3))
        for answer, before in zip(answers, kept, strict=True):
            np.testing.assert_array_equal(answer, before)


@pytest.mark.parametrize("name", ["roberta", "distilbert"])
def test_other_encoders_compile_too(world, name):
    torch.manual_seed(4)
    if name == "roberta":
        config = RobertaConfig(vocab_size=VOCAB_SIZE, max_position_embeddings=POSITIONS, initializer_range=0.3, **BERT)
        model, shapes = RobertaModel(config), [{"rank": 3}, {"prefix": 4}, {"prefix": 2}, {"rank": 0}]
    else:
        config = DistilBertConfig(vocab_size=VOCAB_SIZE, dim=HIDDEN_SIZE, n_layers=2, n_heads=4, hidden_dim=64)
        model, shapes = DistilBertModel(config), [{"rank": 3, "target_modules": ("q_lin", "lin2")}, {"rank": 0}]
    base = store_encoder(world.store, model)
    bundles = [random_bundle(world.store, base, seed=n, **shape)[0] for n, shape in enumerate(shapes)]
    rows = [Row(ids, bundle) for ids in random_rows(3) for bundle in bundles]
    answers = Engine(OpenVinoRuntime(world.store, base, threads=1), world.store).infer(rows)
    for answer, expected in zip(answers, Engine(TorchRuntime(world.store, base), world.store).infer(rows), strict=True):
        np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)


def test_bf16_is_near_fp32_and_says_where_there_is_none(world, runtime, caplog):
    with caplog.at_level(logging.WARNING):
        low = OpenVinoRuntime(world.store, world.base, threads=1, precision="bf16")
    has_bf16 = "BF16" in low._graphs._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert ("has no bf16" in caplog.text) is not has_bf16
    rows = random_rows(12, seed=5)
    batch = Batch(rows, [None] * 12, ["mean"] * 12, [0] * 12)
    near, exact = np.stack(low.encode(batch)), np.stack(runtime.encode(batch))
    similarity = (near * exact).sum(1) / np.linalg.norm(near, axis=1) / np.linalg.norm(exact, axis=1)
    assert similarity.min() > 0.99
    assert has_bf16 or np.array_equal(near, exact)


def test_a_graph_that_differs_from_its_base_is_not_served(world, monkeypatch):
    monkeypatch.setattr("symbiont.engine.openvino_runtime.TOLERANCE", {"fp32": 1e-12})
    with pytest.raises(RuntimeError, match="differs from its base"):
        OpenVinoRuntime(world.store, world.base, threads=1)


def test_a_base_that_is_not_stored_is_not_found(world):
    with pytest.raises(NotFound):
        OpenVinoRuntime(world.store, "a" * 64)
