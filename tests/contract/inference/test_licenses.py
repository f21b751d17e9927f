"""Models on a base that not everybody may use."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from support.guarded import Believing, said
from support.waiting import until
from symbiont.api.inference.v1 import inference_pb2
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.training.v1 import base_model_pb2 as bases_pb
from symbiont.common.access.access import Access
from symbiont.common.principal import Guard, Role
from symbiont.triton.open_inference import open_inference_pb2 as open_pb

BASE = "a" * 64
BANK, SHOP = said("ana", "bank", Role.CALLER), said("bob", "shop", Role.CALLER)
OPERATOR = said("ops", "", Role.OPERATOR)


def base(name: str, digest: str = BASE, **terms: Any) -> bases_pb.BaseModel:
    return bases_pb.BaseModel(
        name=f"bases/{name}", digest=digest, provider="acme", license="MIT", terms=bases_pb.LicenseTerms(**terms)
    )


@pytest.fixture
def guard() -> Guard:
    return Access(Believing())


@pytest.fixture
def bases() -> list[bases_pb.BaseModel]:
    ends = datetime.now(UTC) + timedelta(days=30)
    return [base("other", "b" * 64, noncommercial=True), base("tiny", tenants=["bank"], expire_time=ends)]


@pytest.fixture
async def tenants(suite: Any) -> Any:
    """The suite with a `mood` of the bank and one of the shop, when the terms are known."""
    for tenant in ("bank", "shop"):
        version = suite.make_version(f"{tenant}~mood", 1, ["bad", "good"], [1.0, 0.0])
        suite.training.promote(f"{tenant}~mood", "production", version)
    await until(lambda: info(suite) is not None)
    return suite


def info(suite: Any, name: str = "tiny", digest: str = BASE) -> float | None:
    labels = {"base": digest[:12], "name": f"bases/{name}", "provider": "acme", "license": "MIT"}
    return suite.inference.metrics.registry.get_sample_value("symbiont_inference_base_info", labels)  # type: ignore[no-any-return]


async def predict(suite: Any, metadata: Any, model: str = "models/mood") -> Any:
    request = inference_pb2.PredictRequest(model=model, instances=[inference_pb2.Instance(text="where")])
    return await InferenceServiceStub(suite.inference.channel).Predict(request, metadata=metadata)


async def test_only_whom_the_terms_name_gets_answers(tenants: Any) -> None:
    assert (await predict(tenants, BANK)).predictions
    with pytest.raises(grpc.aio.AioRpcError, match="the licence of bases/tiny is for certain tenants") as caught:
        await predict(tenants, SHOP)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "LICENSE" in str(rpc_status.from_call(caught.value))
    # By its owner, whoever asks.
    with pytest.raises(grpc.aio.AioRpcError, match="certain tenants"):
        await predict(tenants, OPERATOR, "tenants/shop/models/mood")
    assert (await predict(tenants, OPERATOR, "tenants/bank/models/mood")).predictions
    assert (await predict(tenants, OPERATOR, "models/intent")).predictions


async def test_the_open_inference_protocol_is_no_way_around(tenants: Any, open_stub: Any) -> None:
    request = open_pb.ModelInferRequest(model_name="mood")
    request.inputs.add(name="TEXT", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"where")
    assert (await open_stub.ModelInfer(request, metadata=BANK)).outputs
    with pytest.raises(grpc.aio.AioRpcError, match="certain tenants"):
        await open_stub.ModelInfer(request, metadata=SHOP)


async def test_a_model_with_a_base_of_its_own_has_the_terms_and_the_provider_of_what_that_was_made_of(
    tenants: Any,
) -> None:
    """As after a training in full: no registry knows its base, which was made of one that was."""
    step = tenants.store.put("bases", {"config.json": b"{}"}, {"kind": "base", "parent": BASE})
    own = tenants.store.put("bases", {"config.json": b"[]"}, {"kind": "base", "parent": step})
    read = tenants.inference.metrics.registry.get_sample_value
    before = read("symbiont_inference_base_tokens_total", {"base": BASE[:12]}) or 0.0
    digests = []
    for tenant in ("bank", "shop"):
        version = tenants.make_version(f"{tenant}~whole", 1, ["bad", "good"], [1.0, 0.0], base=own)
        tenants.training.promote(f"{tenant}~whole", "production", version)
        digests.append(version.bundle_digest)
    assert (await predict(tenants, BANK, "models/whole")).predictions
    assert (await predict(tenants, BANK, f"bundles/{digests[0]}")).predictions
    for model in ("models/whole", "models/whole/versions/1", f"bundles/{digests[1]}"):
        with pytest.raises(grpc.aio.AioRpcError, match="the licence of bases/tiny is for certain tenants"):
            await predict(tenants, SHOP, model)
    assert read("symbiont_inference_base_tokens_total", {"base": BASE[:12]}) > before
    assert read("symbiont_inference_base_compute_seconds_total", {"base": BASE[:12]}) is not None
    assert read("symbiont_inference_predictions_total", {"base": BASE[:12]}) >= 2
    for name in ("base_tokens", "base_compute_seconds", "predictions", "instances"):
        assert read(f"symbiont_inference_{name}_total", {"base": own[:12]}) is None


async def test_metrics_say_whose_a_base_is_and_until_when(tenants: Any) -> None:
    assert (info(tenants), info(tenants, "other", "b" * 64)) == (1, 1)
    read = tenants.inference.metrics.registry.get_sample_value
    labels = {"base": BASE[:12], "name": "bases/tiny"}
    ends = read("symbiont_inference_base_license_end_timestamp_seconds", labels)
    assert ends == pytest.approx((datetime.now(UTC) + timedelta(days=30)).timestamp(), abs=60)
    await predict(tenants, BANK)
    assert read("symbiont_inference_base_tokens_total", {"base": BASE[:12]}) > 0
    assert read("symbiont_inference_tenant_compute_seconds_total", {"tenant": "bank"}) is not None
