"""More than can be done: useful work goes on, the rest is told at once, and nothing of it is left behind."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tritonclient.grpc import service_pb2 as oip
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub

TEXT = "Where is my order?"
LATE, FULL = grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"default_timeout_seconds": 120}


@pytest.fixture
def stub(suite: Any) -> InferenceServiceStub:
    return InferenceServiceStub(suite.inference.channel)


def request(model: str = "mood", texts: int = 1, **more: Any) -> pb.PredictRequest:
    return pb.PredictRequest(model=f"models/{model}", instances=[pb.Instance(text=TEXT)] * texts, **more)


@pytest.fixture
def waiting(suite: Any, eventually: Any) -> Any:
    """Waits until so many rows wait for the host."""

    async def wait(rows: int) -> None:
        def queued(value: Any) -> float:
            names = [("queue_rows", {"priority": p}) for p in ("interactive", "batch")] + [("parked_rows", {})]
            return sum(value(f"symbiont_inference_{name}", **labels) or 0 for name, labels in names)

        await eventually(lambda: suite.inference.samples(), lambda value: queued(value) == rows)

    return wait


@pytest.fixture
async def busy(suite: Any, stub: Any, eventually: Any) -> Any:
    """Fills the host with two requests that do not end before its gate is opened."""
    suite.training.promote("plain", "production", suite.make_version("plain", 1, ["x", "y"], [0.0, 1.0]))
    await asyncio.gather(*(stub.Predict(request(model)) for model in ("mood", "intent", "plain")))
    suite.triton.gate.clear()
    calls = []
    for count in (1, 2):
        calls.append(stub.Predict(request(), timeout=100))
        await eventually(lambda: suite.inference.samples(), partial(has_in_flight, count))
    suite.triton.order.clear()
    yield
    suite.triton.gate.set()
    await asyncio.gather(*calls)


def has_in_flight(count: int, value: Any) -> bool:
    return bool(value("symbiont_inference_requests_in_flight") == count)


async def test_useful_work_goes_on_when_ten_times_more_is_asked(suite: Any, stub: Any, waiting: Any) -> None:
    # A hundred rows a second, and a thousand are asked for.
    await stub.Predict(request())
    suite.triton.row_seconds, suite.triton.asked, suite.listening.texts = 0.01, 0, 0
    before = len(asyncio.all_tasks())
    codes: Counter[grpc.StatusCode] = Counter()
    refusals: list[grpc.aio.AioRpcError] = []

    async def ask() -> None:
        try:
            await stub.Predict(request(texts=20), timeout=3)
            codes[grpc.StatusCode.OK] += 1
        except grpc.aio.AioRpcError as exc:
            codes[exc.code()] += 1
            if exc.code() is FULL:
                refusals.append(exc)

    async with asyncio.TaskGroup() as calls:
        for _ in range(200):
            calls.create_task(ask())
            await asyncio.sleep(0.02)
    await waiting(0)
    useful, computed = 20 * codes[grpc.StatusCode.OK], suite.triton.asked
    assert codes.total() == 200
    assert set(codes) <= {grpc.StatusCode.OK, FULL, LATE}
    assert useful >= 0.9 * computed, codes
    assert codes[FULL] > codes[grpc.StatusCode.OK] > 5
    # Those that were turned away cost no computing, and, but for some whose tokens were more than expected, no tokens.
    assert suite.listening.texts <= 20 * (200 - codes[FULL]) + 100
    assert computed <= suite.listening.texts
    await rests(suite, before)
    for refusal in refusals:
        check_pushback(refusal)


def check_pushback(refusal: grpc.aio.AioRpcError) -> None:
    """Both ways of saying when to come back say the same."""
    told = dict(refusal.trailing_metadata())["grpc-retry-pushback-ms"]
    retry = error_details_pb2.RetryInfo()
    status = rpc_status.from_call(refusal)
    assert status
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToMilliseconds() == int(told) > 0


async def rests(suite: Any, tasks: int) -> None:
    """Nothing waits, nothing runs."""
    value = await suite.inference.samples()
    names = ("queue_tokens", "queue_rows")
    left = [value(f"symbiont_inference_{name}", priority=p) for name in names for p in ("interactive", "batch")]
    assert left == [0] * 4
    for name in ("parked_rows", "queue_tenants", "requests_in_flight"):
        assert value(f"symbiont_inference_{name}") == 0
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110, gRPC ends its own in its own time
            await asyncio.sleep(0.02)


async def test_callers_that_go_leave_nothing_behind(suite: Any, stub: Any, busy: None, waiting: Any) -> None:
    before = len(asyncio.all_tasks())
    calls = [stub.Predict(request(), timeout=100) for _ in range(200)]
    await waiting(200)
    for call in calls:
        call.cancel()
    await waiting(0)
    value = await suite.inference.samples()
    assert value("symbiont_inference_cancelled_rows_total") == 200
    assert value("symbiont_inference_wasted_rows_total") == 0
    assert suite.triton.order == []
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110, gRPC ends its own in its own time
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("protocol", ["native", "open"])
async def test_rows_that_expire_cost_no_computing(
    suite: Any, stub: Any, busy: None, waiting: Any, protocol: str
) -> None:
    if protocol == "native":
        calls = [stub.Predict(request(texts=2), timeout=4.0) for _ in range(5)]
    else:
        infer = GRPCInferenceServiceStub(suite.inference.channel).ModelInfer
        asked = oip.ModelInferRequest(model_name="mood", raw_input_contents=[_raw(TEXT, TEXT)])
        asked.inputs.add(name="TEXT", datatype="BYTES", shape=[2])
        asked.parameters["timeout"].int64_param = 4_000_000
        calls = [infer(asked) for _ in range(5)]
    await waiting(10)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer.code() for answer in answers] == [LATE] * 5
    await waiting(0)
    suite.triton.gate.set()
    await stub.Predict(request())
    assert len(suite.triton.order) == 1
    value = await suite.inference.samples()
    expired = value("symbiont_inference_expired_rows_total", stage="queue")
    # Where the caller's timer rings first, gRPC says that it has gone.
    assert expired > 0
    assert expired + value("symbiont_inference_cancelled_rows_total") == 10


async def test_who_asks_little_waits_for_no_more_than_its_share(
    suite: Any, stub: Any, busy: None, waiting: Any
) -> None:
    calls = [stub.Predict(request("mood", 100), timeout=100) for _ in range(40)]
    calls += [stub.Predict(request("intent", 100), timeout=100) for _ in range(4)]
    await waiting(100 * 44)
    suite.triton.gate.set()
    await asyncio.gather(*calls)
    mood, intent = (suite.training.versions[f"models/{m}/versions/1"].bundle_digest for m in ("mood", "intent"))
    order = suite.triton.order
    # Until the last of its rows, the one that asks little waited too: its share is half, or what goes at once.
    until = order[: len(order) - order[::-1].index(intent)]
    assert Counter(order) == {mood: 4000, intent: 400}
    assert until.count(mood) <= 440


async def test_what_hosts_compute_in_a_second_is_known_when_more_has_waited_than_one_request_takes(
    suite: Any, stub: Any, busy: None, waiting: Any
) -> None:
    value = await suite.inference.samples()
    assert value("symbiont_inference_tokens_per_second") == 0
    calls = [stub.Predict(request("mood", 100), timeout=100) for _ in range(40)]
    await waiting(100 * 40)
    suite.triton.row_seconds = 0.001
    suite.triton.gate.set()
    await asyncio.gather(*calls)
    value = await suite.inference.samples()
    assert value("symbiont_inference_tokens_per_second") > 0


async def test_the_share_is_a_tenants_where_it_is_named_and_models_do_not_count(
    suite: Any, stub: Any, busy: None, waiting: Any
) -> None:
    one, other = (("symbiont-tenant", "one"),), (("symbiont-tenant", "other"),)
    calls = [stub.Predict(request("mood", 100), timeout=100, metadata=one) for _ in range(20)]
    calls += [stub.Predict(request("plain", 100), timeout=100, metadata=one) for _ in range(20)]
    calls += [stub.Predict(request("intent", 100), timeout=100, metadata=other) for _ in range(4)]
    await waiting(100 * 44)
    suite.triton.gate.set()
    await asyncio.gather(*calls)
    intent = suite.training.versions["models/intent/versions/1"].bundle_digest
    order = suite.triton.order
    until = order[: len(order) - order[::-1].index(intent)]
    assert len(until) <= 880


@pytest.mark.parametrize("protocol", ["native", "open"])
async def test_who_is_urgent_goes_before_batch_work(
    suite: Any, stub: Any, busy: None, waiting: Any, protocol: str
) -> None:
    if protocol == "native":
        calls = [stub.Predict(request("mood", 16, priority=pb.PRIORITY_BATCH), timeout=100) for _ in range(25)]
    else:
        infer = GRPCInferenceServiceStub(suite.inference.channel).ModelInfer
        asked = oip.ModelInferRequest(model_name="mood", raw_input_contents=[_raw(*[TEXT] * 16)])
        asked.inputs.add(name="TEXT", datatype="BYTES", shape=[16])
        asked.parameters["priority"].uint64_param = 2
        calls = [infer(asked, timeout=100) for _ in range(25)]
    await waiting(400)
    urgent = stub.Predict(request("intent", 2), timeout=100)
    await waiting(402)
    suite.triton.gate.set()
    await urgent
    intent = suite.training.versions["models/intent/versions/1"].bundle_digest
    # In the first request that was sent after it came.
    assert intent in suite.triton.order[:10]
    await asyncio.gather(*calls)


@pytest.mark.parametrize("name", ["", "a b", "x" * 129])
async def test_a_tenant_of_a_bad_name_is_refused(suite: Any, stub: Any, refusal: Any, name: str) -> None:
    key = "symbiont-tenant"
    assert (await refusal(stub.Predict(request(), metadata=((key, name),))))[:2] == ("INVALID_ARGUMENT", key)
    assert suite.triton.request_ids == []


async def test_an_unknown_priority_is_refused(suite: Any, stub: Any, refusal: Any) -> None:
    asked: Any = request()
    asked.priority = 77
    assert (await refusal(stub.Predict(asked)))[:2] == ("INVALID_ARGUMENT", "priority")


async def test_the_answer_says_how_long_it_waited(suite: Any, stub: Any) -> None:
    suite.triton.seconds = 0.01
    times = (await stub.Predict(request())).stage_times
    assert times.compute.ToMicroseconds() == 2000
    assert times.infer.ToMicroseconds() >= times.queue.ToMicroseconds() >= 1000


def _raw(*texts: str) -> bytes:
    return b"".join(np.array(len(text.encode()), "<u4").tobytes() + text.encode() for text in texts)
