"""When a part is missing, late or wrong, the answer says which, and everything comes back by itself."""

from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.common.errors import IntegrityError, NotFound, ResourceExhausted, SymbiontError, Unavailable
from symbiont.common.health import LIVE, NOT_SERVING, SERVING
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle

MOOD = "models/mood@production"
REQUEST = pb.PredictRequest(model="models/mood", instances=[pb.Instance(text="Where is my order?")])
# All that say NOT_SERVING while no text can be made tokens of.
ON_TOKENS = (
    "",
    MOOD,
    "symbiont.inference.v1.InferenceService",
    "symbiont.inference.v1.CatalogueService",
    "symbiont.inference.v1.GenerationService",
    "inference.GRPCInferenceService",
)


@pytest.fixture
def stub(suite: Any) -> InferenceServiceStub:
    return InferenceServiceStub(suite.inference.channel)


@pytest.fixture
def check(suite: Any) -> Any:
    health = health_pb2_grpc.HealthStub(suite.inference.channel)

    async def ask(name: str = MOOD) -> Any:
        return (await health.Check(health_pb2.HealthCheckRequest(service=name))).status

    return ask


async def test_the_registry_goes_and_comes_back(
    suite: Any, stub: Any, refusal: Any, eventually: Any, check: Any
) -> None:
    await eventually(lambda: suite.inference.samples(), lambda value: value("symbiont_inference_aliases") == 2)
    await suite.training.stop()
    assert (await stub.Predict(REQUEST)).served_model.model_version == "models/mood/versions/1"
    unknown = pb.PredictRequest(model="models/new", instances=REQUEST.instances)
    status, _, text = await refusal(stub.Predict(unknown))
    assert status == "UNAVAILABLE"
    assert "the training service cannot be reached" in text
    suite.training.promote("new", "production", suite.make_version("new", 1, ["x", "y"], [0.0, 1.0]))
    await suite.training.start()
    await eventually(lambda: suite.inference.samples(), lambda value: value("symbiont_inference_aliases") == 3)
    assert (await stub.Predict(unknown)).served_model.model_version == "models/new/versions/1"


async def test_triton_goes_and_comes_back(
    suite: Any, stub: Any, client: Any, refusal: Any, eventually: Any, check: Any
) -> None:
    await stub.Predict(REQUEST)
    await eventually(check, lambda status: status == SERVING)
    assert await client.is_model_ready("mood")
    suite.triton.loaded.clear()
    suite.triton.error = Unavailable("Triton at 127.0.0.1:8001 cannot be reached")
    status, _, text = await refusal(stub.Predict(REQUEST))
    assert status == "UNAVAILABLE"
    assert "Triton" in text
    await eventually(check, lambda status: status == NOT_SERVING)
    assert await check("") == SERVING
    assert [await client.is_server_ready(), await client.is_model_ready("mood")] == [True, False]
    suite.triton.error = None
    await eventually(check, lambda status: status == SERVING)
    assert suite.triton.loaded == {"a" * 64}
    assert await client.is_model_ready("mood")
    await stub.Predict(REQUEST)


async def test_health_of_a_model_is_watched(suite: Any, stub: Any) -> None:
    health = health_pb2_grpc.HealthStub(suite.inference.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service="models/new@production"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    suite.training.promote("new", "production", suite.make_version("new", 1, ["x", "y"], [0.0, 1.0]))
    # It may be heard of before it has answered a first row.
    while (status := (await watch.read()).status) == NOT_SERVING:
        pass
    assert status == SERVING
    suite.triton.error = Unavailable("away")
    assert (await watch.read()).status == NOT_SERVING


async def test_tokenization_goes_and_comes_back(
    suite: Any, stub: Any, client: Any, serve: Any, eventually: Any, check: Any
) -> None:
    async def statuses() -> set[int]:
        return {await check(name) for name in ON_TOKENS}

    async def open_ones() -> list[bool]:
        return [await client.is_server_live(), await client.is_server_ready(), await client.is_model_ready("mood")]

    await eventually(check, lambda status: status == SERVING)
    assert (await statuses(), await open_ones()) == ({SERVING}, [True, True, True])
    await suite.tokenization.server.stop(0)
    await eventually(statuses, lambda found: found == {NOT_SERVING})
    assert await open_ones() == [True, False, False]
    (first, *_) = (await client.get_model_repository_index()).models
    assert (first.state, first.reason) == ("UNAVAILABLE", "the server is not ready")
    # Whoever restarts this process has no reason to, and what was seen of releases can still be asked.
    assert {await check(LIVE), await check("symbiont.inference.v1.ReleaseService")} == {SERVING}
    await serve([suite.tokenizing], ServiceMetrics("tokenization"), Lifecycle(), suite.tokenization.address)
    await eventually(statuses, lambda found: found == {SERVING})
    assert await open_ones() == [True, True, True]
    await stub.Predict(REQUEST)


@pytest.mark.parametrize("damage", [NotFound, IntegrityError])
async def test_a_bundle_that_its_host_does_not_find_any_more(
    suite: Any, stub: Any, client: Any, refusal: Any, eventually: Any, check: Any, damage: Any
) -> None:
    digest = suite.training.versions["models/mood/versions/1"].bundle_digest
    names = [("mood", ""), ("mood", "1"), (f"bundles/{digest}", "")]

    async def readiness() -> set[bool]:
        return {await client.is_model_ready(*name) for name in names}

    await eventually(check, lambda status: status == SERVING)
    assert await readiness() == {True}
    suite.triton.broken, suite.triton.damage = {digest}, damage
    assert (await refusal(stub.Predict(REQUEST)))[0] == "FAILED_PRECONDITION"
    await eventually(check, lambda status: status == NOT_SERVING)
    assert await readiness() == {False}
    # It concerns no other model, and not the service.
    assert {await check("models/intent@production"), await check("")} == {SERVING}
    assert await client.is_model_ready("intent")
    suite.triton.broken = set()
    await eventually(check, lambda status: status == SERVING)
    assert await readiness() == {True}


async def test_tokenization_that_is_away_is_named(suite: Any, stub: Any, refusal: Any) -> None:
    await stub.Predict(REQUEST)
    await suite.tokenization.server.stop(0)
    status, _, text = await refusal(stub.Predict(REQUEST))
    assert status == "UNAVAILABLE"
    assert "the tokenization service cannot be reached" in text


async def test_a_tokenizer_that_is_gone_is_a_matter_of_state(suite: Any, stub: Any, refusal: Any) -> None:
    # Another than the suite's own, which may be in the memory of the tokenization service.
    suite.tokenizer_digest = "9" * 64
    version = suite.make_version("lost", 1, ["a", "b"], [0.0, 1.0])
    suite.training.versions[version.name] = version
    status, _, text = await refusal(stub.Predict(pb.PredictRequest(model=version.name, instances=REQUEST.instances)))
    assert status == "FAILED_PRECONDITION"
    assert "the tokenization service refused" in text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (IntegrityError("bundles/b: file head.safetensors differs from its digest"), "FAILED_PRECONDITION"),
        (ResourceExhausted("the queue is full"), "RESOURCE_EXHAUSTED"),
    ],
)
async def test_tritons_errors_keep_their_meaning(
    suite: Any, stub: Any, refusal: Any, error: SymbiontError, status: str
) -> None:
    suite.triton.error = error
    assert (await refusal(stub.Predict(REQUEST)))[::2] == (status, str(error))


async def test_a_bundle_that_is_gone_or_damaged_is_refused(suite: Any, stub: Any, refusal: Any) -> None:
    gone = suite.make_version("gone", 1, ["x", "y"], [0.0, 1.0])
    damaged = suite.make_version("damaged", 2, ["x", "y"], [0.0, 1.0])
    suite.store.delete("bundles", gone.bundle_digest)
    (suite.store.root / "bundles" / damaged.bundle_digest / "manifest.json").write_text("{}")
    for version in (gone, damaged):
        suite.training.versions[version.name] = version
        request = pb.PredictRequest(model=version.name, instances=REQUEST.instances)
        status, _, text = await refusal(stub.Predict(request))
        assert status == "FAILED_PRECONDITION"
        assert version.bundle_digest in text


@pytest.mark.parametrize("changed", ["base_digest", "tokenizer_digest"])
async def test_skew_between_registry_and_bundle_is_refused(suite: Any, stub: Any, refusal: Any, changed: str) -> None:
    version = suite.make_version("skewed", 1, ["x", "y"], [0.0, 1.0], **{changed: "e" * 64})
    suite.training.versions[version.name] = version
    status, _, _ = await refusal(stub.Predict(pb.PredictRequest(model=version.name, instances=REQUEST.instances)))
    assert status == "FAILED_PRECONDITION"
    assert suite.triton.request_ids == []


@pytest.mark.parametrize("seconds", [2, 60])
async def test_the_earlier_deadline_counts(suite: Any, stub: Any, seconds: float) -> None:
    await stub.Predict(REQUEST, timeout=seconds)
    # The service's own is 5 seconds.
    earlier = min(seconds, 5)
    # gRPC rounds what is left up, by some milliseconds.
    assert earlier - 1.5 < suite.triton.timeouts[0] < earlier + 0.1


async def test_a_deadline_that_passes(suite: Any, stub: Any, refusal: Any, eventually: Any) -> None:
    suite.triton.seconds = 60
    assert (await refusal(stub.Predict(REQUEST, timeout=0.2)))[0] == "DEADLINE_EXCEEDED"

    async def in_flight() -> Any:
        value = await suite.inference.samples()
        return value("symbiont_rpc_in_flight", service="inference", rpc="Predict")

    await eventually(in_flight, lambda count: count == 0)
