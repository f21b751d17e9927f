import itertools
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import Any

import numpy as np
import pytest

from support.bundles import HIDDEN_SIZE, MAX_LENGTH, POSITIONS, VOCAB_SIZE, random_rows, tiny_base
from support.waiting import until_sync
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound
from symbiont.engine.engine import Engine
from symbiont.engine.lanes import Lanes
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.packing import PackingLimits
from symbiont.engine.row import Row
from symbiont.engine.runtime import Array, Batch, HostFacts
from symbiont.engine.torch_runtime import TorchRuntime

TOLERANCE = 1e-5
TIMEOUT_S = 10


def _batch(world, seed: int, count: int = 24) -> list[Row]:
    choice = random.Random(seed)
    return [
        world.row(ids, choice.choice(["", *world.bundles]), seed + number)
        for number, ids in enumerate(random_rows(count, seed=seed))
    ]


def test_every_bundle_answers_as_transformers_and_peft_do(world, engine):
    pairs = itertools.product(random_rows(6, seed=9), world.bundles)
    rows = [world.row(ids, bundle, seed) for seed, (ids, bundle) in enumerate(pairs)]
    for row, answer in zip(rows, engine.infer(rows), strict=True):
        np.testing.assert_allclose(answer, world.references[row.bundle].answer(row), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(25))
def test_mixed_is_alone_in_any_order(world, engine, seed):
    rows = _batch(world, seed)
    alone = [engine.infer([row])[0] for row in rows]
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    for index, answer in zip(order, engine.infer([rows[i] for i in order]), strict=True):
        np.testing.assert_allclose(answer, alone[index], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "limits",
    [
        PackingLimits(max_rows=1),
        PackingLimits(max_rows=3),
        PackingLimits(max_tokens=100),
        # Everything in one sub-batch, however much of it is padding.
        PackingLimits(max_waste=1.0, max_tokens=10**6, max_rows=10**6),
    ],
)
def test_how_rows_are_cut_changes_no_answer(world, engine, make_engine, limits):
    rows = _batch(world, 77)
    for answer, expected in zip(make_engine(limits=limits).infer(rows), engine.infer(rows), strict=True):
        np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)


def test_slot_zero_is_exactly_the_base(world, engine):
    """A row without an adapter is bit for bit the same, whether or not rows beside it have one."""
    ids = random_rows(1, seed=3)[0]
    with_adapters = engine.infer([Row(ids), Row(ids, world.bundles[0]), Row(ids, world.bundles[5])])[0]
    without = engine.infer([Row(ids), Row(ids), Row(ids)])[0]
    np.testing.assert_array_equal(with_adapters, without)
    assert without.shape == (HIDDEN_SIZE,)


def test_rows_without_adapters_skip_the_adapter_path(world, engine, monkeypatch):
    monkeypatch.setattr("symbiont.engine.torch_runtime.LoraBatch", None)
    head_only = world.bundles[2]
    assert len(engine.infer([Row(ids, bundle) for ids in random_rows(2) for bundle in ("", head_only)])) == 4


def test_two_bases_can_differ_in_pooling(world, tmp_path):
    """The plain base answers with its own pooling."""
    store = ArtifactStore(tmp_path)
    base = tiny_base(store, pooling="cls")
    ids = random_rows(1)[0]
    cls = Engine(TorchRuntime(store, base), store).infer([Row(ids)])[0]
    mean = Engine(world.runtime, world.store).infer([Row(ids)])[0]
    assert not np.allclose(cls, mean, atol=1e-3)


@pytest.mark.parametrize(
    "ids",
    [[], [0] * (MAX_LENGTH + 1), [-1], [VOCAB_SIZE]],
    ids=["empty", "too long", "negative", "outside the vocabulary"],
)
def test_bad_ids_fail_their_own_row(world, engine, ids):
    good = Row(random_rows(1)[0], world.bundles[0])
    refused, answer = engine.infer([Row(np.asarray(ids, dtype=np.int32), world.bundles[0]), good])
    assert isinstance(refused, InvalidArgument)
    np.testing.assert_allclose(answer, engine.infer([good])[0], rtol=0, atol=TOLERANCE)


def test_no_rows_have_no_answers(engine):
    assert engine.infer([]) == []


def test_an_unknown_bundle_fails_its_own_row(world, engine):
    ids = random_rows(1)[0]
    unknown, known = engine.infer([Row(ids, "a" * 64), Row(ids, world.bundles[0])])
    assert isinstance(unknown, NotFound)
    assert "a" * 64 in str(unknown)
    assert isinstance(known, np.ndarray)


def test_fewer_slots_than_bundles_in_a_batch_still_answer(world, engine, make_engine):
    small = make_engine(max_slots=2)
    rows = _batch(world, 5)
    for _ in range(3):
        for answer, expected in zip(small.infer(rows), engine.infer(rows), strict=True):
            np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)
        assert len(small.resident()) == 2


def test_threads_do_not_mix_their_rows(world, make_engine):
    engine = make_engine(max_slots=3)
    batches = [_batch(world, seed, count=6) for seed in range(12)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(engine.infer, batches))
    for batch, got in zip(batches, answers, strict=True):
        for row, answer in zip(batch, got, strict=True):
            expected = engine.infer([row])[0]
            np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)


def test_a_base_that_is_not_stored_is_not_found(world):
    with pytest.raises(NotFound):
        TorchRuntime(world.store, "a" * 64)


@pytest.mark.parametrize("change", [{"hidden_size": 31}, {"max_length": POSITIONS + 1}, {"pooling": "max"}])
def test_a_base_whose_manifest_is_wrong_is_refused(world, change):
    folder = world.store.path("bases", world.base)
    files = {name: folder / name for name in ("config.json", "model.safetensors")}
    fields = {k: v for k, v in world.store.manifest("bases", world.base).items() if k != "files"}
    digest = world.store.put("bases", files, fields | change)
    with pytest.raises(IntegrityError, match=digest):
        TorchRuntime(world.store, digest)


@pytest.mark.parametrize(("spare", "beside"), [(0, 2), (1, 1), (9, 1)])
def test_rows_leave_lanes_to_others(world, monkeypatch, spare, beside):
    runtime = OpenVinoRuntime(world.store, world.base, threads=2)
    assert runtime.lanes == 2
    counting, computing, most, real = threading.Lock(), 0, 0, runtime.encode

    def encode(batch):
        nonlocal computing, most
        with counting:
            computing += 1
            most = max(most, computing)
        # Long enough for the other lane to come beside it, if it may.
        time.sleep(0.02)
        answer = real(batch)
        with counting:
            computing -= 1
        return answer

    monkeypatch.setattr(runtime, "encode", encode)
    # Rows of many lengths, of which each pass takes one.
    rows = [Row(np.arange(5, 5 + length, dtype=np.int32)) for length in range(1, 49, 4)]
    engine = Engine(runtime, world.store, limits=PackingLimits(max_rows=1))
    answers = engine.infer(rows, spare)
    assert most == beside
    for row, answer in zip(rows, answers, strict=True):
        np.testing.assert_allclose(answer, engine.infer([row])[0], rtol=0, atol=1e-5)


class HeldRuntime:
    """A runtime of two lanes that shows what it computes, by its first row's length, until it is let go on."""

    lanes = 2

    def __init__(self, facts: HostFacts, broken: int = 0) -> None:
        self.facts = facts
        self.begun: Queue[tuple[int, threading.Event]] = Queue()
        self._broken = broken

    def encode(self, batch: Batch) -> list[Array]:
        length, over = len(batch.input_ids[0]), threading.Event()
        self.begun.put((length, over))
        assert over.wait(TIMEOUT_S)
        if length == self._broken:
            raise RuntimeError("ordered by the test")
        return [np.full(HIDDEN_SIZE, len(ids), np.float32) for ids in batch.input_ids]


def _of_lengths(*lengths: int) -> list[Row]:
    return [Row(np.ones(length, np.int32)) for length in lengths]


def test_a_small_request_of_two_parts_waits_for_none_that_a_large_one_has_not_begun(world, monkeypatch):
    lanes = Lanes(2)
    monkeypatch.setattr("symbiont.engine.engine.Lanes", lambda _: lanes)
    runtime = HeldRuntime(world.runtime.facts)
    engine = Engine(runtime, world.store, limits=PackingLimits(max_rows=1))
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(engine.infer, _of_lengths(*range(20, 32)))
        begun = [runtime.begun.get(timeout=TIMEOUT_S) for _ in range(2)]
        small = pool.submit(engine.infer, _of_lengths(1, 2))
        until_sync(lambda: lanes.asked == 4, TIMEOUT_S)
        for _, over in begun:
            over.set()
        begun = [runtime.begun.get(timeout=TIMEOUT_S) for _ in range(2)]
        assert {length for length, _ in begun} == {1, 2}
        for _, over in begun:
            over.set()
        assert [answer[0] for answer in small.result(TIMEOUT_S)] == [1, 2]
        for _ in range(10):
            runtime.begun.get(timeout=TIMEOUT_S)[1].set()
        assert [answer[0] for answer in large.result(TIMEOUT_S)] == list(range(20, 32))


@pytest.mark.parametrize("broken", [20, 21])
def test_a_part_that_fails_fails_its_request_and_no_more_parts_begin(world, monkeypatch, broken):
    helping: list[Future] = []

    class Helpers(ThreadPoolExecutor):
        def submit(self, *work: Any) -> Future:
            helping.append(super().submit(*work))
            return helping[-1]

    monkeypatch.setattr("symbiont.engine.engine.ThreadPoolExecutor", Helpers)
    runtime = HeldRuntime(world.runtime.facts, broken)
    engine = Engine(runtime, world.store, limits=PackingLimits(max_rows=1))
    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(engine.infer, _of_lengths(*range(20, 32)))
        begun = dict(runtime.begun.get(timeout=TIMEOUT_S) for _ in range(2))
        begun.pop(broken).set()
        # It is the caller's thread that computes it, or the one that helps.
        until_sync(lambda: failing.done() or helping[0].done(), TIMEOUT_S)
        for over in begun.values():
            over.set()
        with pytest.raises(RuntimeError, match="ordered by the test"):
            failing.result(TIMEOUT_S)
        until_sync(helping[0].done, TIMEOUT_S)
        assert runtime.begun.empty()
        answers = pool.submit(engine.infer, _of_lengths(3))
        runtime.begun.get(timeout=TIMEOUT_S)[1].set()
        assert [answer[0] for answer in answers.result(TIMEOUT_S)] == [3]
