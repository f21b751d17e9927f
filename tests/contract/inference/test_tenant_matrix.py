"""Every RPC of the inference service that takes a name: what another tenant has is refused as what nobody has."""

from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from support.guarded import Believing, said
from support.tenant_cases import INFERENCE, Case, told
from support.waiting import until
from symbiont.api.inference.v1 import catalogue_pb2, release_pb2
from symbiont.api.inference.v1.catalogue_pb2_grpc import CatalogueServiceStub
from symbiont.api.inference.v1.release_pb2_grpc import ReleaseServiceStub
from symbiont.bundle.heads import EmbeddingHead
from symbiont.common.access.access import Access
from symbiont.common.principal import Guard, Role

ROLES = (Role.CALLER, Role.TRAINER, Role.VIEWER, Role.ADMIN)
BANK, SHOP = said("ana", "bank", *ROLES), said("bob", "shop", *ROLES)
BANKS = {"model": "mood", "vectors": "secret", "faq": "faq"}
NOBODYS = {"model": "null", "vectors": "nobody", "faq": "nil"}


@pytest.fixture
def guard() -> Guard:
    return Access(Believing())


@pytest.fixture
async def tenants(suite: Any) -> Any:
    """Both have models/own and catalogues/own; the bank has `mood` with a release, `secret` with vectors, and `faq`."""
    head = EmbeddingHead(pooling="mean", hidden_size=4, size=4)

    def promote(model: str, number: int = 1, **shape: Any) -> Any:
        version = suite.make_version(model, number, (), [1.0, 2.0, 3.0, 4.0], head=head, **shape)
        suite.training.promote(model, "production", version)

    for model in ("bank~own", "shop~own", "bank~secret"):
        promote(model)
    version = suite.make_version("bank~mood", 1, ["bad", "good"], [1.0, 0.0])
    suite.training.promote("bank~mood", "production", version)
    candidate = suite.make_version("bank~mood", 2, ["bad", "good"], [0.0, 1.0])
    release = suite.training.release("bank~mood", "production", candidate, weight=50).replace("bank~", "")
    catalogues = CatalogueServiceStub(suite.inference.channel)
    for name, model, metadata in (("own", "own", BANK), ("own", "own", SHOP), ("faq", "secret", BANK)):
        create = catalogue_pb2.CreateCatalogueRequest(catalogue_id=name, model=f"models/{model}")
        await catalogues.CreateCatalogue(create, metadata=metadata)
    observe = release_pb2.GetReleaseObservationRequest(release=release)

    async def seen() -> bool:
        try:
            await ReleaseServiceStub(suite.inference.channel).GetReleaseObservation(observe, metadata=BANK)
        except grpc.aio.AioRpcError:
            return False
        return True

    await until(seen)
    return suite


async def ask(suite: Any, case: Case, metadata: Any, names: dict[str, str]) -> tuple[str, str, list[str]]:
    """Returns how a call ends, or the first that it answers; with all that its caller can see of it."""
    request = case.request(names).SerializeToString()
    call = suite.inference.channel.stream_stream(case.method)(iter([request]), metadata=metadata, timeout=60)
    try:
        answer = await call.read()
        return told("OK", "" if answer is grpc.aio.EOF else str(answer), (), names)
    except grpc.aio.AioRpcError as exc:
        seen = (*exc.initial_metadata(), *exc.trailing_metadata())
        return told(exc.code().name, str(rpc_status.from_call(exc)), seen, names)
    finally:
        call.cancel()


@pytest.mark.parametrize("case", INFERENCE, ids=str)
async def test_what_another_has_is_refused_as_what_nobody_has(tenants: Any, case: Case) -> None:
    theirs = await ask(tenants, case, SHOP, BANKS)
    assert theirs == await ask(tenants, case, SHOP, NOBODYS)
    assert theirs[0] == case.code
    assert "bank" not in theirs[1]


async def test_its_own_is_there_for_each(tenants: Any) -> None:
    """In this order: the last ones take away what they name."""
    ends = {str(case): (await ask(tenants, case, BANK, BANKS))[:2] for case in INFERENCE}
    refused = ("NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED")
    assert {name: end for name, end in ends.items() if end[0] in refused} == {}
    assert sum(code == "OK" for code, _ in ends.values()) > len(ends) / 2
