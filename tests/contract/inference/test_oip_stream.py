"""Streams of the Open Inference Protocol: in order, bounded, and one bad call ends none of the others."""

import asyncio
import queue
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as sync_client

from support.open_inference import request, text_input
from symbiont.api.inference.v1.inference_pb2 import Instance, PredictRequest, PredictStreamRequest
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.common.errors import Unavailable

TEXTS = ["Where is my order?", "请帮我取消订单", "refund"]


@pytest.fixture
def predict_stub(suite: Any) -> InferenceServiceStub:
    return InferenceServiceStub(suite.inference.channel)


async def rest(call: Any) -> list[Any]:
    """Reads a stream to its end."""
    found = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        found.append(answer)
    return found


async def test_a_stream_of_tritonclient(suite: Any, predict: Any) -> None:
    """Many in flight, in order; a bad one among them is one error, and the stream lives on."""

    def ask() -> list[Any]:
        answers: queue.Queue[Any] = queue.Queue()
        with sync_client.InferenceServerClient(suite.inference.address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for index in range(60):
                text = "" if index == 7 else TEXTS[index % 3]
                inputs, last = [text_input(text)], index == 59
                client.async_stream_infer("mood", inputs, request_id=str(index), enable_empty_final_response=last)
            found = [answers.get(timeout=60) for _ in range(60)]
            client.stop_stream()
        return found

    suite.triton.seconds = 0.02
    found = await asyncio.to_thread(ask)
    rows, _ = await predict("mood", *TEXTS)
    assert found[59][0].get_response().parameters["triton_final_response"].bool_param
    assert found[7][0] is None
    assert found[7][1].message().startswith("INVALID_ARGUMENT: TEXT[0]: ")
    for index, (result, error) in enumerate(found):
        if index != 7:
            assert error is None
            assert result.get_response().id == str(index)
            assert result.as_numpy("PROBABILITIES")[0, 1] == np.float32(rows[index % 3]["good"])


async def test_a_stream_of_tritonclient_aio(client: Any) -> None:
    async def requests() -> Any:
        for index in range(3):
            yield {
                "model_name": "nobody" if index == 1 else "mood",
                "inputs": [text_input("order")],
                "request_id": str(index),
            }

    answers = [answer async for answer in client.stream_infer(requests())]
    assert [error is None for _, error in answers] == [True, False, True]
    assert [result and result.get_response().id for result, _ in answers] == ["0", None, "2"]


async def test_a_stream_runs_no_more_than_its_share_at_a_time(suite: Any, open_stub: Any, eventually: Any) -> None:
    await eventually(lambda: suite.inference.samples(), lambda value: value("symbiont_inference_versions_waiting") == 0)
    suite.triton.seconds = 1.0
    call = open_stub.ModelStreamInfer()
    for index in range(40):
        await call.write(request(id=str(index)))
    async with asyncio.timeout(60):
        assert (await call.read()).infer_response.id == "0"
        assert len(suite.triton.request_ids) <= 33
        await call.done_writing()
        assert len(await rest(call)) == 39
    assert suite.triton.asked == 40


async def test_an_unknown_error_in_a_stream_tells_nothing(suite: Any, open_stub: Any) -> None:
    suite.triton.logits.clear()
    call = open_stub.ModelStreamInfer()
    await call.write(request(id="x"))
    answer = await call.read()
    assert answer.error_message.startswith("INTERNAL: internal error; the log has it under request id ")
    assert answer.infer_response.id == "x"
    await call.done_writing()
    assert not await rest(call)


async def test_each_request_of_a_stream_counts_as_a_call_would(suite: Any, open_stub: Any, predict_stub: Any) -> None:
    """A stream ends well whatever its requests did: its own code tells of none of them."""
    mood = PredictRequest(model="models/mood", instances=[Instance(text="order")])
    asked = {
        "ModelStreamInfer": (open_stub.ModelStreamInfer, lambda name: request(id=name)),
        "PredictStream": (predict_stub.PredictStream, lambda name: PredictStreamRequest(id=name, request=mood)),
    }
    logits = dict(suite.triton.logits)
    for answers, error in ((True, None), (True, Unavailable("Triton is away")), (False, None), (False, None)):
        suite.triton.error = error
        suite.triton.logits = logits if answers else {}
        for method, make in asked.values():
            call = method()
            await call.write(make("x"))
            await call.done_writing()
            assert len(await rest(call)) == 1
    call = predict_stub.PredictStream(iter([PredictStreamRequest(id="", request=mood)]))
    assert len(await rest(call)) == 1
    value = await suite.inference.samples()

    def counted(rpc: str, code: str) -> float | None:
        return value("symbiont_rpc_seconds_count", service="inference", rpc=rpc, code=code)  # type: ignore[no-any-return]

    for rpc in asked:
        codes = {"OK": 1, "UNAVAILABLE": 1, "INTERNAL": 2}
        assert {code: counted(f"{rpc}.request", code) for code in codes} == codes
        assert counted(rpc, "INTERNAL") is None
    assert counted("PredictStream.request", "INVALID_ARGUMENT") == 1


async def test_a_stream_ends_when_the_service_stops(suite: Any, open_stub: Any, client: Any, refusal: Any) -> None:
    call = open_stub.ModelStreamInfer()
    await call.write(request())
    assert not (await call.read()).error_message
    assert await client.is_server_ready()
    suite.inference.lifecycle.stopping.set()
    async with asyncio.timeout(60):
        assert (await refusal(call.read()))[0] == "UNAVAILABLE"
    assert not await client.is_server_ready()
    assert await client.is_server_live()
