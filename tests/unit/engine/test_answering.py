import threading
from queue import Queue

import numpy as np
import pytest

from support.bundles import random_rows
from symbiont.common.errors import NotFound, SymbiontError
from symbiont.engine.answering import Answering, Job
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.row import Row

TIMEOUT_S = 5


@pytest.fixture
def answering(engine):
    answering = Answering(engine)
    yield answering
    answering.close()


def _job(*bundles: str) -> tuple[Job, Queue]:
    answer: Queue = Queue()
    rows = [Row(ids, bundle) for ids, bundle in zip(random_rows(len(bundles)), bundles, strict=True)]
    return Job(rows, lambda given, _times: answer.put(given)), answer


def test_resident_bundles_are_answered_before_submit_returns(world, engine, answering):
    engine.infer([Row(random_rows(1)[0], world.bundles[0])])
    (first, one), (second, two) = _job(world.bundles[0], ""), _job(world.bundles[0])
    answering.submit([first, second])
    assert [len(answer) for answer in (one.get_nowait(), two.get_nowait())] == [2, 1]


def test_as_many_requests_as_lanes_are_computed_at_once(world, monkeypatch):
    runtime = OpenVinoRuntime(world.store, world.base, threads=2)
    both, real = threading.Barrier(2, timeout=TIMEOUT_S), runtime.encode
    monkeypatch.setattr(runtime, "encode", lambda batch: (both.wait(), real(batch))[1])
    answering = Answering(Engine(runtime, world.store))
    (first, one), (second, two) = _job(""), _job("", "")
    answering.submit([first])
    assert one.empty()
    answering.submit([second])
    answering.close()
    assert [len(answer.get_nowait()) for answer in (one, two)] == [1, 2]


def test_a_bundle_that_is_being_loaded_delays_no_neighbour(world, engine, answering, monkeypatch):
    engine.infer([Row(random_rows(1)[0], world.bundles[0])])
    go, real = threading.Event(), world.runtime.place
    monkeypatch.setattr(world.runtime, "place", lambda adapter: (go.wait(TIMEOUT_S), real(adapter))[1])
    (cold, late), (warm, soon) = _job(world.bundles[1]), _job(world.bundles[0])
    answering.submit([cold, warm])
    assert len(soon.get_nowait()) == 1
    assert late.empty()
    go.set()
    np.testing.assert_allclose(
        late.get(timeout=TIMEOUT_S)[0], world.references[world.bundles[1]].logits(cold.rows[0].input_ids), atol=1e-5
    )


def test_a_bad_bundle_fails_its_rows_and_no_other(world, answering):
    (bad, mixed), (good, answered) = _job(world.bundles[0], "a" * 64), _job(world.bundles[0])
    answering.submit([bad, good])
    first, second = mixed.get(timeout=TIMEOUT_S)
    expected = world.references[world.bundles[0]].logits(bad.rows[0].input_ids)
    np.testing.assert_allclose(first, expected, rtol=0, atol=1e-5)
    assert isinstance(second, NotFound)
    assert len(answered.get(timeout=TIMEOUT_S)) == 1


def test_a_runtime_that_breaks_still_answers_everyone(world, answering, monkeypatch):
    def encode(_batch):
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(world.runtime, "encode", encode)
    jobs = [_job("") for _ in range(3)]
    answering.submit([job for job, _ in jobs])
    for _, answer in jobs:
        error = answer.get_nowait()
        assert isinstance(error, SymbiontError)
        assert "device" not in str(error)


def test_closing_answers_what_waits(world, engine):
    answering = Answering(engine)
    jobs = [_job(bundle) for bundle in world.bundles]
    answering.submit([job for job, _ in jobs])
    answering.close()
    assert all(len(answer.get_nowait()) == 1 for _, answer in jobs)
