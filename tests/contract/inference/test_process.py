"""The process that `python -m symbiont.inference` is, with no peer in sight."""

import asyncio
import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.common.health import LIVE, NOT_SERVING, SERVING

NOWHERE = "127.0.0.1:1"


async def test_it_starts_without_its_peers_says_what_is_missing_and_stops(
    launch: Any, stop: Any, refusal: Any, store: Any
) -> None:
    peers = {f"{peer}_address": NOWHERE for peer in ("training", "tokenization", "triton")}
    running = await launch("inference", artifact_root=str(store.root), **peers)
    health = health_pb2_grpc.HealthStub(running.channel)
    # A restart would bring no peer back; a caller had better ask elsewhere.
    for name, status in ((LIVE, SERVING), ("", NOT_SERVING)):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == status
    request = pb.PredictRequest(model="models/mood", instances=[pb.Instance(text="a")])
    status, _, text = await refusal(InferenceServiceStub(running.channel).Predict(request))
    assert status == "UNAVAILABLE"
    assert "the training service cannot be reached" in text
    assert (await running.samples())("symbiont_inference_registry_connected") == 0
    assert await stop(running) == 0


class Hanging(grpc.GenericRpcHandler):
    """Takes every call and answers none."""

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.hang)

    async def hang(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(60)


async def test_a_triton_that_hangs_does_not_hold_up_the_stop(launch: Any, stop: Any, refusal: Any, suite: Any) -> None:
    triton = grpc.aio.server()
    triton.add_generic_rpc_handlers([Hanging()])
    port = triton.add_insecure_port("127.0.0.1:0")
    await triton.start()
    running = await launch(
        "inference",
        artifact_root=str(suite.store.root),
        training_address=suite.training.address,
        tokenization_address=suite.tokenization.address,
        triton_address=f"127.0.0.1:{port}",
        drain_seconds="1",
    )
    request = pb.PredictRequest(model="models/mood", instances=[pb.Instance(text="a")])
    call = InferenceServiceStub(running.channel).Predict(request, timeout=1)
    assert (await refusal(call))[0] == "DEADLINE_EXCEEDED"
    began = time.monotonic()
    assert await stop(running) == 0
    assert time.monotonic() - began < 8
    await triton.stop(0)
