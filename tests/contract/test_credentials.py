"""Every RPC of the table, asked with each thing that a caller can show: real TLS, real tokens, and the real guard."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf.empty_pb2 import Empty
from typing_extensions import override

from support.issuer import LittleIssuer, pem
from support.service import free_port
from support.waiting import until
from symbiont.common.access.access import Access
from symbiont.common.access.table import ROLES, Row, rows
from symbiont.common.calls import Around, WrappingServer
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.principal import Role
from symbiont.common.security.authority import Authority
from symbiont.common.security.channels import aio_channel
from symbiont.common.security.files import Tls
from symbiont.common.security.identity import identity_of
from symbiont.common.security.listening import Listening
from symbiont.common.security.suite import SuiteCertificates
from symbiont.common.server import SERVING, Lifecycle, build_server, set_health
from symbiont.common.settings import ServiceSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBE = "/symbiont.training.v1.ModelService/GetModel"
OF_INSTALLATION = {Role.OPERATOR, Role.SERVICE}


class Everything(grpc.GenericRpcHandler):
    """Answers every RPC of the table with an empty message: what is in front of it is what counts."""

    @override
    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method not in rows():
            return None
        return grpc.stream_stream_rpc_method_handler(_answer, Empty.FromString, Empty.SerializeToString)


async def _answer(requests: Any, context: Any) -> AsyncIterator[Empty]:
    yield Empty()


@dataclass(frozen=True)
class Shown:
    """What a caller shows, and to which address."""

    address: str
    tls: Tls
    token: str = ""


@dataclass
class Place:
    """A server with all RPCs, its certificates, and the issuer that it believes."""

    folder: Path
    certificates: SuiteCertificates
    issuer: LittleIssuer
    address: str
    token_address: str

    def token(self, **claims: Any) -> Shown:
        """A caller with a token and no certificate."""
        return self.by_token(self.issuer.token(**claims))

    def by_token(self, token: str) -> Shown:
        """A caller with this for a token."""
        return Shown(self.token_address, Tls(self.certificates.of("client").ca), token)

    def certificate(self, identity: str, **how: Any) -> Shown:
        """A caller with a certificate of this authority."""
        name = f"shown-{len(list(self.folder.iterdir()))}"
        return Shown(self.address, Authority(self.folder / "tls/authority").issue(self.folder / name, identity, **how))

    async def codes(self, shown: Shown) -> dict[str, str]:
        """Returns how each RPC ends for a caller; OK with the first answer."""
        token = shown.token
        channel = aio_channel(shown.address, (), shown.tls, token=(lambda: token) if token else None)
        try:
            return {method: await _code(channel, method) for method in rows()}
        finally:
            await channel.close()


async def _code(channel: Any, method: str) -> str:
    # Of any kind, for the server sees no difference; the message of a stream may come after the refusal, and then
    # gRPC's client says INTERNAL by itself.
    call = channel.unary_stream(method)(b"", timeout=60)
    try:
        await call.read()
    except grpc.aio.AioRpcError as exc:
        return str(exc.code().name)
    finally:
        call.cancel()
    return "OK"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    tmp_path = tmp_path_factory.mktemp("place")
    certificates = SuiteCertificates(tmp_path / "tls")
    certificates.prepare()
    for role in ROLES:
        certificates.add_roles(identity_of("symbiont", "tenant", "acme", role), [role])
    tls, token_address = certificates.of("training"), f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as stack:
        issuer = stack.enter_context(LittleIssuer())
        settings = ServiceSettings(
            insecure=False,
            tls_certificate=tls.certificate,
            tls_key=tls.key,
            tls_clients_ca=tls.ca,
            identities=certificates.identities,
            token_address=token_address,
            token_issuer=issuer.url,
        )
        metrics, lifecycle, listening = ServiceMetrics("training"), Lifecycle(), Listening(settings)
        stack.callback(metrics.close)
        await stack.enter_async_context(listening.beside())
        guard = Access(listening.guard)
        server = build_server(settings, metrics, lifecycle, [], guard=guard)
        WrappingServer(server, Around(metrics, guard=guard)).add_generic_rpc_handlers([Everything()])
        port = listening.listen(server, "127.0.0.1:0")
        await server.start()
        await set_health(lifecycle, [], SERVING)
        stack.push_async_callback(server.stop, 0)
        made = Place(tmp_path, certificates, issuer, f"127.0.0.1:{port}", token_address)
        channel = aio_channel(token_address, (), Tls(tls.ca), token=issuer.token)
        stack.push_async_callback(channel.close)

        async def knows_the_issuer() -> bool:
            return await _code(channel, PROBE) == "OK"

        await until(knows_the_issuer)
        yield made


def for_anybody(row: Row) -> str:
    return "OK" if row.anybody else "UNAUTHENTICATED"


NOT_BELIEVED: dict[str, Callable[[Place], Shown]] = {
    "an expired token": lambda place: place.token(exp=1_700_000_000),
    "a token for another audience": lambda place: place.token(aud="elsewhere"),
    "a token of another issuer": lambda place: place.token(iss="https://elsewhere"),
    "a token by a stranger's key": lambda place: place.by_token(
        jwt.encode(place.issuer.claims(), pem(rsa.generate_private_key(65537, 2048)), "RS256", headers={"kid": "first"})
    ),
    "no token at all": lambda place: place.by_token("x.y.z"),
    # A good certificate makes a bad token no better.
    "an expired token beside a certificate": lambda place: replace(
        place.certificate(identity_of("symbiont", "tenant", "acme", Role.ADMIN)),
        token=place.issuer.token(exp=1_700_000_000),
    ),
}


@pytest.mark.parametrize("shown", NOT_BELIEVED.values(), ids=NOT_BELIEVED)
async def test_what_is_shown_and_not_believed_opens_nothing(place: Place, shown: Callable[[Place], Shown]) -> None:
    assert set((await place.codes(shown(place))).values()) == {"UNAUTHENTICATED"}


NOBODY: dict[str, Callable[[Place], Shown]] = {
    "nothing": lambda place: place.by_token(""),
    "a certificate of another trust domain": lambda place: place.certificate("spiffe://elsewhere/service/training"),
    "a certificate that names no part": lambda place: place.certificate("https://symbiont/service/training"),
}


@pytest.mark.parametrize("shown", NOBODY.values(), ids=NOBODY)
async def test_who_is_nobody_may_ask_what_anybody_may(place: Place, shown: Callable[[Place], Shown]) -> None:
    assert await place.codes(shown(place)) == {method: for_anybody(row) for method, row in rows().items()}


async def test_who_is_known_to_nobody_may_nothing(place: Place) -> None:
    shown = place.certificate(identity_of("symbiont", "client", "bob"))
    assert set((await place.codes(shown)).values()) == {"PERMISSION_DENIED"}


async def test_whose_certificate_is_not_of_the_authority_does_not_get_in(place: Place) -> None:
    identity, ca = identity_of("symbiont", "tenant", "acme", Role.ADMIN), place.certificates.of("client").ca
    stranger = Authority(place.folder / "stranger").issue(place.folder / "strangers", identity)
    long_ago = datetime.now(UTC) - timedelta(days=30)
    expired = Authority(place.folder / "tls/authority", long_ago).issue(place.folder / "old", identity, days=1)
    for tls in (replace(stranger, ca=ca), expired):
        assert set((await place.codes(Shown(place.address, tls))).values()) == {"UNAVAILABLE"}


@pytest.mark.parametrize("tenant", ["acme", None])
@pytest.mark.parametrize("role", ROLES)
async def test_a_token_opens_what_its_role_may(place: Place, role: Role, tenant: str | None) -> None:
    """But none of them makes somebody a part of the suite."""
    codes = await place.codes(place.token(roles=[role], tenant=tenant))
    assert codes == {method: expected(row, role, tenant, parts=False) for method, row in rows().items()}


@pytest.mark.parametrize("role", ROLES)
async def test_a_certificate_opens_what_its_role_may(place: Place, role: Role) -> None:
    codes = await place.codes(place.certificate(identity_of("symbiont", "tenant", "acme", role)))
    assert codes == {method: expected(row, role, "acme", parts=True) for method, row in rows().items()}


def expected(row: Row, role: Role, tenant: str | None, *, parts: bool) -> str:
    if not parts and role in (Role.SERVICE, Role.WORKER):
        # What is said of nobody's role is said to everybody alike.
        return "PERMISSION_DENIED"
    may = role in row.roles and not (tenant and role in OF_INSTALLATION)
    return "OK" if row.anybody or may else "PERMISSION_DENIED"
