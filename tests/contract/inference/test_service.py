"""What every service of the suite shows: reflection, health, metrics."""

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub

NAME = "symbiont.inference.v1.InferenceService"


async def test_reflection_and_health(suite: Any) -> None:
    assert NAME in await suite.inference.listed_services()
    health = health_pb2_grpc.HealthStub(suite.inference.channel)
    for name in ("", NAME):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_metrics_count_a_known_load(suite: Any, refusal: Any, eventually: Any) -> None:
    stub = InferenceServiceStub(suite.inference.channel)
    for _ in range(4):
        await stub.Predict(pb.PredictRequest(model="models/mood", instances=[pb.Instance(text="a")] * 3))
    await refusal(stub.Predict(pb.PredictRequest(model="models/mood", instances=[pb.Instance()])))
    await refusal(stub.Predict(pb.PredictRequest(model="models/nobody", instances=[pb.Instance(text="a")])))
    value = await eventually(suite.inference.samples, lambda v: v("symbiont_inference_hosts_ready") == 1)
    assert value("symbiont_inference_predictions_total", base="a" * 12) == 4
    assert value("symbiont_inference_instances_total", base="a" * 12) == 12
    assert value("symbiont_inference_batch_size_bucket", le="4.0") == 4
    assert value("symbiont_inference_refusals_total", reason="TEXT_EMPTY") == 1
    assert value("symbiont_inference_refusals_total", reason="NOT_FOUND") == 1
    for stage in ("resolve", "tokenize", "infer"):
        assert value("symbiont_inference_stage_seconds_count", stage=stage) == 4
    assert value("symbiont_inference_registry_connected") == 1
    assert value("symbiont_inference_aliases") == 2
    assert value("symbiont_rpc_seconds_count", service="inference", rpc="Predict", code="OK") == 4
    await eventually(suite.inference.samples, lambda v: v("symbiont_inference_warm_ups_total", result="answered") == 2)
    tokenization = await suite.tokenization.samples()
    label = {"tokenizer": suite.tokenizer_digest[:12]}
    # The tokenizer of each of the two versions was tried with a text.
    assert tokenization("symbiont_tokenization_texts_total", **label) == 12 + 2
