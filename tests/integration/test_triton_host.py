"""A host in the real tritonserver: loaded inline, asked in mixed batches, killed, restarted, and asked again."""

import asyncio
import random
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio
import tritonclient.grpc as tritonclient

from support.bundles import random_bundle, random_rows, tiny_base
from support.poison import poisoned
from support.waiting import until
from symbiont.bundle import FlagField, NumberField
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import (
    DeadlineExceeded,
    IntegrityError,
    InvalidArgument,
    NotFound,
    SymbiontError,
    Unavailable,
)
from symbiont.engine import wire
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.triton.client import HostClient, is_server_ready
from symbiont.triton.host_model import host_name
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

# One server for the file: starting a host means importing torch in another process.
pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLERANCE = 1e-4
# Loading a host means importing torch in a process of its own, which a busy machine takes long for.
LOADED_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def base(store) -> str:
    return tiny_base(store)


@pytest.fixture(scope="module")
def references(store, base):
    shapes = [
        {"rank": 4, "num_labels": 3},
        {"rank": 0, "num_labels": 2},
        {"rank": 16, "num_labels": 7},
        {"rank": 1, "num_labels": 1},
        {"rank": 6, "num_labels": 5, "adalora": True},
        {"rank": 8, "num_labels": 4, "houlsby": "gelu", "target_modules": ("output.dense",)},
        {"bitfit": True, "num_labels": 3},
        {"prefix": 3, "num_labels": 2},
    ]
    return dict(random_bundle(store, base, seed=seed, **shape) for seed, shape in enumerate(shapes))


@pytest.fixture(scope="module")
def engine(store, base) -> Engine:
    """The same engine in this process."""
    return Engine(TorchRuntime(store, base), store)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    async with TritonServer(find_triton(start=Path(__file__).parent), tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server, store):
    async with HostClient(server.url, HostSettings(store.root, threads=1, precision="fp32")) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def host(server, client, base):
    """A server that runs and has the host, whatever the test before did."""
    if not await client.ready():
        await server.start()
    await client.ensure_host(base)
    return client


async def test_concurrent_requests_load_the_host_once(server, client, base):
    assert await client.ready()
    assert not await client.host_ready(base)
    ids = random_rows(1)[0]
    answers = await asyncio.gather(*(client.infer(base, [Row(ids)], timeout_s=LOADED_WITHIN_S) for _ in range(8)))
    assert all(np.array_equal(answer[0], answers[0][0]) for answer in answers)
    assert await client.host_ready(base)
    assert server.log_file.read_text().count("successfully loaded") == 1


async def test_mixed_batches_from_concurrent_requests_equal_the_engine_in_process(host, base, engine, references):
    choice = random.Random(3)
    requests = [
        [Row(ids, choice.choice(["", *references])) for ids in random_rows(choice.randint(1, 9), seed=seed)]
        for seed in range(40)
    ]
    answers = await asyncio.gather(*(host.infer(base, rows) for rows in requests))
    for rows, got in zip(requests, answers, strict=True):
        for row, mine, theirs in zip(rows, got, engine.infer(rows), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=TOLERANCE)
            if row.bundle:
                expected = references[row.bundle].logits(row.input_ids)
                np.testing.assert_allclose(mine, expected, rtol=0, atol=TOLERANCE)


async def test_pairs_fields_and_heads_on_tokens_pass_triton(host, base, store):
    fields = (NumberField(name="income", mean=1.0, deviation=2.0), FlagField(name="owner"))
    shapes = [{"task": "spans"}, {"task": "entities", "num_labels": 4}, {"task": "score", "fields": fields}]
    tasks = dict(random_bundle(store, base, seed=seed, **shape) for seed, shape in enumerate(shapes, start=70))
    random_ = np.random.default_rng(7)
    rows = [
        Row(ids, bundle, int(random_.integers(0, len(ids))), random_.random(reference.features, dtype=np.float32))
        for ids in random_rows(8, seed=7)
        for bundle, reference in tasks.items()
    ]
    answer = await host.infer_rows(base, rows, timeout_s=30.0)
    for row, values in zip(rows, answer.rows, strict=True):
        expected = tasks[row.bundle].answer(row).reshape(-1)
        np.testing.assert_allclose(values, expected, rtol=0, atol=TOLERANCE)
    assert answer.times.computed > 0


@pytest.mark.slow
async def test_rows_that_leave_a_lane_to_others_are_answered_as_all(server, store):
    # On the host of the test of both runtimes: to load one takes longer than all of this.
    base = tiny_base(store, seed=91)
    rows = [Row(ids) for ids in random_rows(12, seed=8)]
    settings = HostSettings(store.root, threads=2, runtime="openvino", precision="fp32")
    async with HostClient(server.url, settings) as client:
        await client.ensure_host(base)
        whole, spared = [(await client.infer_rows(base, rows, spare=spare)).rows for spare in (0, 1)]
    for row, again in zip(whole, spared, strict=True):
        np.testing.assert_allclose(again, row, rtol=0, atol=TOLERANCE)


async def test_an_expired_row_fails_alone(host, base, references):
    ids, bundle = random_rows(1)[0], next(iter(references))
    rows = [Row(ids, bundle), Row(ids, bundle, expires=time.monotonic() - 1)]
    first, expired = (await host.infer_rows(base, rows)).rows
    np.testing.assert_allclose(first, references[bundle].logits(ids), rtol=0, atol=TOLERANCE)
    assert isinstance(expired, DeadlineExceeded)


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
async def test_either_runtime_answers_as_transformers_and_peft_do(server, store, runtime):
    """Each on a base of its own, so that both are loaded side by side."""
    base = tiny_base(store, seed=90 if runtime == "torch" else 91)
    shapes = [{"rank": 4}, {"rank": 0}, {"rank": 2, "houlsby": "relu", "target_modules": ("query",)}, {"prefix": 5}]
    bundles = dict(random_bundle(store, base, seed=seed, **shape) for seed, shape in enumerate(shapes))
    rows = [Row(ids, bundle) for ids in random_rows(3, seed=6) for bundle in bundles]
    async with HostClient(server.url, HostSettings(store.root, threads=2, runtime=runtime, precision="fp32")) as client:
        await client.ensure_host(base)
        answers = await client.infer(base, rows)
    for row, answer in zip(rows, answers, strict=True):
        np.testing.assert_allclose(answer, bundles[row.bundle].answer(row), rtol=0, atol=TOLERANCE)
    assert f"base {base} computes in {runtime}" in server.log_file.read_text()


async def test_bad_bundles_fail_their_rows_and_no_other(host, base, store, references):
    bad = poisoned(store, base, rank=4, seed=50) | {"not stored": "a" * 64}
    ids, good = random_rows(1)[0], next(iter(references))
    expected = references[good].logits(ids)
    # All of them beside each other, then each beside good ones; the requests are there together.
    calls = [host.infer_rows(base, [Row(ids, bundle) for digest in bad.values() for bundle in (good, digest)])]
    calls += [host.infer_rows(base, [Row(ids, good), Row(ids, digest), Row(ids, good)]) for digest in bad.values()]
    calls += [host.infer_rows(base, [Row(ids, good)]) for _ in range(8)]
    together, *each = [answer.rows for answer in await asyncio.gather(*calls)]
    refused = [*zip(bad, together[1::2], strict=True), *zip(bad, (rows[1] for rows in each[: len(bad)]), strict=True)]
    for name, error in refused:
        assert type(error) is (NotFound if name == "not stored" else IntegrityError), name
        assert bad[name] in str(error), name
    answers = [*together[::2], *(answer for rows in each for answer in rows if not isinstance(answer, SymbiontError))]
    assert len(answers) == 3 * len(bad) + 8
    for answer in answers:
        np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)
    for name, digest in bad.items():
        with pytest.raises(NotFound if name == "not stored" else IntegrityError, match=digest):
            await host.infer(base, [Row(ids, good), Row(ids, digest)])


async def test_ids_that_do_not_fit_the_base_are_refused(host, base):
    with pytest.raises(InvalidArgument, match="vocabulary") as caught:
        await host.infer(base, [Row(np.array([10**6], np.int32))])
    assert caught.value.field == "input_ids"


async def test_a_base_that_is_not_stored_cannot_be_loaded(host):
    with pytest.raises(NotFound, match="bases/"):
        await host.ensure_host("f" * 64)


async def test_nvidias_own_client_reaches_the_host(server, host, base, references):
    ids, bundle = random_rows(1)[0], next(iter(references))

    def ask() -> np.ndarray:
        tensors = [
            (wire.INPUT_IDS, ids[None, :], "INT32"),
            (wire.ROW_LENGTHS, np.array([[len(ids)]], np.int32), "INT32"),
            (wire.BUNDLE_DIGEST, np.array([[bundle.encode()]], dtype=np.object_), "BYTES"),
        ]
        inputs = [tritonclient.InferInput(name, values.shape, kind) for name, values, kind in tensors]
        for tensor, (_, values, _) in zip(inputs, tensors, strict=True):
            tensor.set_data_from_numpy(values)
        with tritonclient.InferenceServerClient(server.url) as plain:
            result = plain.infer(host_name(base), inputs)
            assert result.as_numpy(wire.OUTPUT_LENGTHS).tolist() == [[3]]
            return result.as_numpy(wire.OUTPUT)[0]

    np.testing.assert_allclose(await asyncio.to_thread(ask), references[bundle].logits(ids), rtol=0, atol=TOLERANCE)


async def test_callers_that_give_up_leave_triton_alive(host, base, references):
    ids = random_rows(64, max_length=64)
    calls = [
        asyncio.create_task(host.infer(base, [Row(row, bundle) for row in ids for bundle in references]))
        for _ in range(16)
    ]
    await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
    assert len(await host.infer(base, [Row(ids[0])])) == 1


async def test_a_deadline_passes(host, base, references):
    rows = [Row(row, bundle) for row in random_rows(200) for bundle in references]
    with pytest.raises(DeadlineExceeded):
        await host.infer(base, rows, timeout_s=0.001)
    assert len(await host.infer(base, rows[:1])) == 1


async def test_a_host_whose_process_died_is_loaded_again(server, host, base):
    ids = random_rows(1)[0]
    expected = await host.infer(base, [Row(ids)])
    stubs = [p for p in psutil.process_iter() if p.ppid() == server.pid and "stub" in p.name()]
    assert stubs
    for stub in stubs:
        stub.kill()
    asked = [host.infer(base, [Row(ids)], timeout_s=LOADED_WITHIN_S) for _ in range(4)]
    again = await asyncio.gather(*asked, return_exceptions=True)
    if any(isinstance(answer, Unavailable) for answer in again):
        # Triton itself went down with the process, which is rare; then it is its supervisor's turn.
        assert not await is_server_ready(server.url)
        await server.kill()
        await server.start()
        again = [await host.infer(base, [Row(ids)], timeout_s=LOADED_WITHIN_S)]
    for answer in again:
        assert not isinstance(answer, BaseException), answer
        np.testing.assert_allclose(answer[0], expected[0], rtol=0, atol=TOLERANCE)


async def test_a_killed_triton_is_unavailable_and_answers_after_a_restart(server, host, base, references):
    ids, bundle = random_rows(1)[0], next(iter(references))
    models = psutil.Process(server.pid).children(recursive=True)
    assert models
    await server.kill()
    await until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in models))
    assert not await host.ready()
    with pytest.raises(Unavailable, match="Triton"):
        await host.infer(base, [Row(ids, bundle)])
    await server.start()
    (answer,) = await host.infer(base, [Row(ids, bundle)], timeout_s=LOADED_WITHIN_S)
    np.testing.assert_allclose(answer, references[bundle].logits(ids), rtol=0, atol=TOLERANCE)


async def test_requests_in_flight_when_triton_dies_are_unavailable(server, host, base, references):
    rows = [Row(row, bundle) for row in random_rows(400) for bundle in references]
    calls = [asyncio.create_task(host.infer(base, rows)) for _ in range(8)]
    await asyncio.sleep(0.05)
    await server.kill()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(answer, Unavailable) for answer in answers)
    assert all(isinstance(answer, Unavailable | list) for answer in answers)
