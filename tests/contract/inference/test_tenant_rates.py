"""A tenant that asks for more than it may is told when to come back; nobody else notices."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.guarded import Believing, said
from symbiont.api.inference.v1 import inference_pb2
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.common.access.access import Access
from symbiont.common.principal import Guard, Role


@pytest.fixture
def guard() -> Guard:
    return Access(Believing())


@pytest.fixture(params=[0, 16], ids=["computed", "known"])
def changes(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Without a response cache, and with one that knows the answer of the second call."""
    return {"tenant_rates": {"bank": {"calls": 0.01}}, "cache_mib": request.param}


async def test_beyond_its_rate_a_tenant_is_refused(suite: Any) -> None:
    for tenant in ("bank", "shop"):
        version = suite.make_version(f"{tenant}~mood", 1, ["bad", "good"], [1.0, 0.0])
        suite.training.promote(f"{tenant}~mood", "production", version)
    stub = InferenceServiceStub(suite.inference.channel)

    async def ask(tenant: str) -> Any:
        request = inference_pb2.PredictRequest(model="models/mood", instances=[inference_pb2.Instance(text="where")])
        return await stub.Predict(request, metadata=said("ana", tenant, Role.CALLER))

    assert (await ask("bank")).predictions
    with pytest.raises(grpc.aio.AioRpcError, match="more calls in a second") as caught:
        await ask("bank")
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = {each.type_url.rpartition(".")[2]: each.value for each in rpc_status.from_call(caught.value).details}
    assert error_details_pb2.ErrorInfo.FromString(details["ErrorInfo"]).reason == "TENANT_RATE"
    assert error_details_pb2.RetryInfo.FromString(details["RetryInfo"]).retry_delay.ToSeconds() > 0
    for _ in range(5):
        assert (await ask("shop")).predictions
