"""Tenants ask by the same names for models of their own, and what others have is not there for them."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from support.guarded import Believing, said
from support.waiting import until
from symbiont.api.inference.v1 import catalogue_pb2, inference_pb2, release_pb2
from symbiont.api.inference.v1.catalogue_pb2_grpc import CatalogueServiceStub
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.inference.v1.release_pb2_grpc import ReleaseServiceStub
from symbiont.bundle.heads import EmbeddingHead
from symbiont.common.access.access import Access
from symbiont.common.principal import Guard, Role
from symbiont.triton.open_inference import open_inference_pb2 as open_pb

MEMBER = (Role.CALLER, Role.TRAINER, Role.VIEWER)
BANK, SHOP = said("ana", "bank", *MEMBER), said("bob", "shop", *MEMBER)
OPERATOR = said("ops", "", Role.OPERATOR)
Refusal = tuple[grpc.StatusCode, str, list[str]]


@pytest.fixture
def guard() -> Guard:
    return Access(Believing())


@pytest.fixture
async def tenants(suite: Any) -> Any:
    """The suite with a `mood` of the bank and one of the shop, and with `secret` and `vectors` of the bank."""
    for tenant, logits in (("bank", [9.0, 0.0]), ("shop", [0.0, 9.0])):
        version = suite.make_version(f"{tenant}~mood", 1, ["bad", "good"], logits)
        suite.training.promote(f"{tenant}~mood", "production", version)
    secret = suite.make_version("bank~secret", 1, ["bad", "good"], [1.0, 0.0])
    suite.training.promote("bank~secret", "production", secret)
    head = EmbeddingHead(pooling="mean", hidden_size=4, size=4)
    vectors = suite.make_version("bank~vectors", 1, (), [1.0, 2.0, 3.0, 4.0], head=head)
    suite.training.promote("bank~vectors", "production", vectors)
    suite.secret_digest = secret.bundle_digest

    async def listed() -> bool:
        index = await suite_call(suite, "RepositoryIndex", open_pb.RepositoryIndexRequest(), BANK)
        return len(index.models) == 3

    await until(listed)
    return suite


def suite_call(suite: Any, method: str, request: Any, metadata: Any) -> Awaitable[Any]:
    """Calls the Open Inference Protocol."""
    service = open_pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    answer = getattr(open_pb, service.methods_by_name[method].output_type.name)
    path = f"/{service.full_name}/{method}"
    call = suite.inference.channel.unary_unary(path, type(request).SerializeToString, answer.FromString)
    return call(request, metadata=metadata)  # type: ignore[no-any-return]


def predict(suite: Any, model: str, metadata: Any) -> Awaitable[Any]:
    request = inference_pb2.PredictRequest(model=model, instances=[inference_pb2.Instance(text="where")])
    return InferenceServiceStub(suite.inference.channel).Predict(request, metadata=metadata)


async def refused(call: Awaitable[Any], name: str) -> Refusal:
    """Returns all that a caller is told of an error, with what it has named taken out."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert "~" not in str(status)
    details = []
    for each in status.details:
        if each.Is(error_details_pb2.ErrorInfo.DESCRIPTOR) or each.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            kind = error_details_pb2.ErrorInfo if "ErrorInfo" in each.type_url else error_details_pb2.BadRequest
            details.append(str(kind.FromString(each.value)).replace(name, "NAME"))
    return caught.value.code(), status.message.replace(name, "NAME"), details


async def test_one_name_is_another_model_for_each(tenants: Any) -> None:
    for metadata, label in ((BANK, "bad"), (SHOP, "good")):
        for model in ("models/mood", "models/mood@production", "models/mood/versions/1"):
            answer = await predict(tenants, model, metadata)
            assert answer.predictions[0].classification.classes[0].label == label
            assert answer.served_model.model_version == "models/mood/versions/1"
    # What belongs to nobody in particular is the installation's, and not theirs.
    assert (await predict(tenants, "models/intent", said("eve", "", Role.CALLER))).predictions
    with pytest.raises(grpc.aio.AioRpcError, match="models/intent does not exist"):
        await predict(tenants, "models/intent", BANK)


@pytest.mark.parametrize("form", ["models/{}", "models/{}@staging", "models/{}/versions/1"])
async def test_what_another_tenant_has_is_refused_as_what_nobody_has(tenants: Any, form: str) -> None:
    theirs = await refused(predict(tenants, form.format("secret"), SHOP), "secret")
    nobodys = await refused(predict(tenants, form.format("nobody"), SHOP), "nobody")
    assert theirs == nobodys
    assert theirs[0] is grpc.StatusCode.NOT_FOUND


async def test_a_bundle_is_there_for_its_owner_alone(tenants: Any) -> None:
    digest, other = tenants.secret_digest, "0" * 64
    assert (await predict(tenants, f"bundles/{digest}", BANK)).predictions
    # By now it is in memory; that must not matter.
    assert await refused(predict(tenants, f"bundles/{digest}", SHOP), digest) == await refused(
        predict(tenants, f"bundles/{other}", SHOP), other
    )
    assert (await predict(tenants, f"bundles/{digest}", OPERATOR)).predictions


@pytest.mark.parametrize("name", ["models/bank~secret", "models/tenants/bank/secret", "tenants/bank/models/secret"])
async def test_a_tenant_cannot_say_whose(tenants: Any, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await predict(tenants, name, SHOP)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "shop" not in str(caught.value.details())


async def test_operators_say_whose(tenants: Any) -> None:
    answer = await predict(tenants, "tenants/bank/models/secret", OPERATOR)
    assert answer.served_model.model_version == "tenants/bank/models/secret/versions/1"
    acting = (*OPERATOR, ("symbiont-tenant", "bank"))
    assert (await predict(tenants, "models/secret", acting)).served_model.model_version == "models/secret/versions/1"
    code, text, _ = await refused(predict(tenants, "models/secret", (*SHOP, ("symbiont-tenant", "bank"))), "secret")
    assert (code, "symbiont-tenant" in text) == (grpc.StatusCode.PERMISSION_DENIED, True)


async def test_an_error_in_a_stream_tells_no_more(tenants: Any) -> None:
    async def errors(model: str) -> str:
        request = inference_pb2.PredictRequest(model=f"models/{model}", instances=[inference_pb2.Instance(text="x")])
        stub = InferenceServiceStub(tenants.inference.channel)
        stream = stub.PredictStream(iter([inference_pb2.PredictStreamRequest(id="1", request=request)]), metadata=SHOP)
        return "".join([str(answer) async for answer in stream]).replace(model, "NAME")

    assert await errors("secret") == await errors("nobody")
    assert "NOT_FOUND" in await errors("secret")
    assert "~" not in await errors("secret")


async def test_the_open_inference_protocol(tenants: Any) -> None:
    index = await suite_call(tenants, "RepositoryIndex", open_pb.RepositoryIndexRequest(), SHOP)
    assert [model.name for model in index.models] == ["mood"]
    index = await suite_call(tenants, "RepositoryIndex", open_pb.RepositoryIndexRequest(), OPERATOR)
    assert {"tenants/bank/secret", "tenants/shop/mood", "intent"} <= {model.name for model in index.models}
    told = await suite_call(tenants, "ModelMetadata", open_pb.ModelMetadataRequest(name="mood"), SHOP)
    assert told.name == "mood"
    for method, request in (
        ("ModelMetadata", open_pb.ModelMetadataRequest),
        ("ModelConfig", open_pb.ModelConfigRequest),
        ("ModelStatistics", open_pb.ModelStatisticsRequest),
    ):
        theirs = await refused(suite_call(tenants, method, request(name="secret"), SHOP), "secret")
        assert theirs == await refused(suite_call(tenants, method, request(name="nobody"), SHOP), "nobody")
    ready = [
        (await suite_call(tenants, "ModelReady", open_pb.ModelReadyRequest(name=name), SHOP)).ready
        for name in ("mood", "secret", "nobody")
    ]
    assert ready == [True, False, False]
    loaded = await suite_call(
        tenants, "RepositoryModelLoad", open_pb.RepositoryModelLoadRequest(model_name="mood"), SHOP
    )
    assert loaded.SerializeToString().startswith(b"\n\x04mood")


def asked(model: str, identifier: str = "") -> Any:
    text = open_pb.ModelInferRequest.InferInputTensor(name="TEXT", datatype="BYTES", shape=[1])
    text.contents.bytes_contents.append(b"where")
    return open_pb.ModelInferRequest(model_name=model, id=identifier, inputs=[text])


@pytest.mark.parametrize(("metadata", "before"), [(SHOP, ""), (OPERATOR, "tenants/shop/")])
async def test_the_protocol_names_a_version_as_predict_does(tenants: Any, metadata: Any, before: str) -> None:
    named = (await predict(tenants, f"{before}models/mood", metadata)).served_model.model_version
    answer = await suite_call(tenants, "ModelInfer", asked(f"{before}mood"), metadata)
    assert answer.parameters["model_version"].string_param == named == f"{before}models/mood/versions/1"
    config = open_pb.ModelConfigRequest(name=f"{before}mood")
    told = (await suite_call(tenants, "ModelConfig", config, metadata)).config
    assert told.parameters["model_version"].string_value == named


@pytest.mark.parametrize("metadata", [said("eve", "", Role.CALLER), OPERATOR], ids=["installation", "operator"])
async def test_a_name_that_cannot_be_said_ends_no_stream(tenants: Any, metadata: Any) -> None:
    """Neither what was asked before it nor what is asked after it is lost."""
    names = ("intent", "intent", "bank~mood", "intent")

    def streamed(index: int, name: str) -> Any:
        request = inference_pb2.PredictRequest(model=f"models/{name}", instances=[inference_pb2.Instance(text="x")])
        return inference_pb2.PredictStreamRequest(id=str(index), request=request)

    stub = InferenceServiceStub(tenants.inference.channel)
    stream = stub.PredictStream((streamed(*each) for each in enumerate(names)), metadata=metadata)
    answers = {answer.id: answer async for answer in stream}
    assert [index for index, answer in sorted(answers.items()) if answer.HasField("response")] == ["0", "1", "3"]
    assert answers["2"].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "which no name has" in answers["2"].error.message
    service = open_pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    call = tenants.inference.channel.stream_stream(
        f"/{service.full_name}/ModelStreamInfer",
        open_pb.ModelInferRequest.SerializeToString,
        open_pb.ModelStreamInferResponse.FromString,
    )
    told = [
        answer async for answer in call(iter([asked(name, str(i)) for i, name in enumerate(names)]), metadata=metadata)
    ]
    assert [answer.infer_response.id for answer in told] == ["0", "1", "2", "3"]
    assert [bool(answer.error_message) for answer in told] == [False, False, True, False]
    assert told[2].error_message.startswith("INVALID_ARGUMENT: model_name: ")


async def test_infer_and_its_statistics(tenants: Any) -> None:
    answer = await suite_call(tenants, "ModelInfer", asked("mood"), SHOP)
    assert answer.model_name == "mood"
    await suite_call(tenants, "ModelInfer", asked("secret"), BANK)
    await suite_call(tenants, "ModelInfer", asked(f"bundles/{tenants.secret_digest}"), BANK)

    async def counted(metadata: Any) -> list[str]:
        found = await suite_call(tenants, "ModelStatistics", open_pb.ModelStatisticsRequest(), metadata)
        return [entry.name for entry in found.model_stats]

    assert (await counted(SHOP), await counted(BANK)) == (["mood"], ["secret"])
    theirs = await refused(suite_call(tenants, "ModelInfer", asked("secret"), SHOP), "secret")
    assert theirs == await refused(suite_call(tenants, "ModelInfer", asked("nobody"), SHOP), "nobody")


async def test_an_error_of_a_stream_of_the_protocol(tenants: Any) -> None:
    service = open_pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    call = tenants.inference.channel.stream_stream(
        f"/{service.full_name}/ModelStreamInfer",
        open_pb.ModelInferRequest.SerializeToString,
        open_pb.ModelStreamInferResponse.FromString,
    )

    async def told(model: str) -> str:
        stream = call(iter([asked(model)]), metadata=SHOP)
        return "".join([str(answer) async for answer in stream]).replace(model, "NAME")

    assert await told("secret") == await told("nobody")
    assert "~" not in await told("secret")


async def test_health_of_a_model(tenants: Any) -> None:
    health = health_pb2_grpc.HealthStub(tenants.inference.channel)

    def check(name: str, metadata: Any) -> Awaitable[Any]:
        return health.Check(health_pb2.HealthCheckRequest(service=name), metadata=metadata)  # type: ignore[no-any-return]

    async def known() -> bool:
        try:
            return bool((await check("models/secret@production", BANK)).status == 1)
        except grpc.aio.AioRpcError:
            return False

    await until(known)
    theirs = await refused(check("models/secret@production", SHOP), "secret")
    assert theirs == await refused(check("models/nobody@production", SHOP), "nobody")
    assert (await refused(check("models/intent@production", ()), "intent"))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert (await check("liveness", ())).status == 1


async def test_catalogues(tenants: Any) -> None:
    stub = CatalogueServiceStub(tenants.inference.channel)
    create = catalogue_pb2.CreateCatalogueRequest(catalogue_id="faq", model="models/vectors")
    made = await stub.CreateCatalogue(create, metadata=BANK)
    assert (made.name.startswith("catalogues/faq"), made.model.startswith("models/vectors")) == (True, True)
    assert "~" not in str(made)
    # The shop has no such model, whatever the bank has.
    theirs = await refused(stub.CreateCatalogue(create, metadata=SHOP), "vectors")
    create.model = "models/nobody"
    assert theirs == await refused(stub.CreateCatalogue(create, metadata=SHOP), "nobody")

    async def names(metadata: Any) -> list[str]:
        page = await stub.ListCatalogues(catalogue_pb2.ListCataloguesRequest(), metadata=metadata)
        return [catalogue.name.partition("/versions")[0] for catalogue in page.catalogues]

    assert (await names(BANK), await names(SHOP)) == (["catalogues/faq"], [])
    assert await names(OPERATOR) == ["tenants/bank/catalogues/faq"]
    requests: list[Callable[[str], Awaitable[Any]]] = [
        lambda n: stub.GetCatalogue(catalogue_pb2.GetCatalogueRequest(name=n), metadata=SHOP),
        lambda n: stub.ListCatalogueVersions(catalogue_pb2.ListCatalogueVersionsRequest(parent=n), metadata=SHOP),
        lambda n: stub.SearchCatalogue(catalogue_pb2.SearchCatalogueRequest(name=n, texts=["x"]), metadata=SHOP),
        lambda n: stub.DeleteCatalogue(catalogue_pb2.DeleteCatalogueRequest(name=n), metadata=SHOP),
    ]
    for request in requests:
        theirs = await refused(request("catalogues/faq"), "faq")
        assert theirs == await refused(request("catalogues/nobody"), "nobody")
    assert await names(BANK) == ["catalogues/faq"]


async def test_releases(tenants: Any) -> None:
    version = tenants.make_version("bank~mood", 2, ["bad", "good"], [0.0, 1.0])
    name = tenants.training.release("bank~mood", "production", version, weight=50)
    stub = ReleaseServiceStub(tenants.inference.channel)
    own = name.replace("bank~", "")

    def observe(release: str, metadata: Any) -> Awaitable[Any]:
        request = release_pb2.GetReleaseObservationRequest(release=release)
        return stub.GetReleaseObservation(request, metadata=metadata)

    async def seen() -> bool:
        try:
            return bool((await observe(own, BANK)).release == own)
        except grpc.aio.AioRpcError:
            return False

    await until(seen)
    theirs = await refused(observe(own, SHOP), "mood")
    assert theirs == await refused(observe(own.replace("mood", "nobody"), SHOP), "nobody")
