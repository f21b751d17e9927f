"""A real server with TLS: who gets in, as whom, and who does not."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from support.issuer import LittleIssuer
from support.service import free_port
from support.waiting import until, until_sync
from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.principal import Principal, Role, current_principal
from symbiont.common.security.authority import Authority
from symbiont.common.security.channels import aio_channel
from symbiont.common.security.files import Renewed, Tls
from symbiont.common.security.identity import identity_of
from symbiont.common.security.listening import Listening, server_credentials
from symbiont.common.security.suite import SuiteCertificates
from symbiont.common.server import Lifecycle, Registration, build_server
from symbiont.common.settings import ServiceSettings

BILLING = identity_of("symbiont", "tenant", "acme", "billing")


class Who(model_pb2_grpc.ModelServiceServicer):
    """Remembers who called."""

    def __init__(self) -> None:
        self.seen: Principal | None = None

    async def GetModel(self, request: Any, context: Any) -> model_pb2.Model:
        self.seen = current_principal()
        return model_pb2.Model(name="models/x")


class Place:
    """A server that listens with certificates, and its authority."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.certificates = SuiteCertificates(folder / "tls")
        self.certificates.prepare()
        self.certificates.add_roles(BILLING, [Role.CALLER])
        self.authority = Authority(folder / "tls/authority")
        tls = self.certificates.of("training")
        self.settings = ServiceSettings(
            insecure=False,
            tls_certificate=tls.certificate,
            tls_key=tls.key,
            tls_clients_ca=tls.ca,
            identities=self.certificates.identities,
            **settings,
        )
        self.listening = Listening(self.settings)
        self.metrics = ServiceMetrics("training")
        self.who = Who()
        self.folder = folder
        self.port = 0

    async def call(self, tls: Tls | None, token: str = "", port: int = 0, name: str = "") -> Principal:
        """Calls the server; returns as whom."""
        self.who.seen = None
        address = f"127.0.0.1:{port or self.port}"
        channel = aio_channel(address, (), tls, token=(lambda: token) if token else None)
        metadata = (("symbiont-principal", name),) if name else ()
        try:
            stub = model_pb2_grpc.ModelServiceStub(channel)
            await stub.GetModel(model_pb2.GetModelRequest(), timeout=60, metadata=metadata)
        finally:
            await channel.close()
        assert self.who.seen
        return self.who.seen

    async def refused(self, tls: Tls | None, token: str = "", port: int = 0) -> str:
        """Calls the server, which must not take it; returns the status."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(tls, token, port)
        assert self.who.seen is None
        return caught.value.code().name

    def shown(self, identity: str, **how: Any) -> Tls:
        """Makes a certificate of this place's authority."""
        return self.authority.issue(self.folder / "shown", identity, **how)


@asynccontextmanager
async def listening(folder: Path, **settings: Any) -> AsyncIterator[Place]:
    place = Place(folder, **settings)
    name = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
    registration = Registration(name, place.who, model_pb2_grpc.add_ModelServiceServicer_to_server)
    guard = place.listening.guard
    async with place.listening.beside():
        server = build_server(place.settings, place.metrics, Lifecycle(), [registration], guard=guard)
        place.port = place.listening.listen(server, "127.0.0.1:0")
        await server.start()
        try:
            yield place
        finally:
            await server.stop(0)


async def test_a_certificate_says_who_calls(tmp_path: Path) -> None:
    async with listening(tmp_path) as place:
        everything = frozenset(Role) - {Role.SERVICE, Role.WORKER}
        assert await place.call(place.certificates.of("client")) == Principal("local", "", everything)
        # Whoever runs the suite says for whom.
        assert (await place.call(place.certificates.of("client"), name="ana")).name == "ana"
        expected = Principal("inference", "", frozenset({Role.SERVICE}))
        assert await place.call(place.certificates.of("inference")) == expected
        assert (await place.call(place.certificates.of("worker"))).roles == {Role.WORKER}
        billing = place.shown(BILLING)
        assert await place.call(billing, name="ana") == Principal("billing", "acme", frozenset({Role.CALLER}))


async def test_who_shows_no_certificate_of_the_authority_does_not_get_in(tmp_path: Path) -> None:
    async with listening(tmp_path) as place:
        own = place.certificates.of("client")
        stranger = Authority(tmp_path / "stranger").issue(tmp_path / "wrong", BILLING)
        long_ago = datetime.now(UTC) - timedelta(days=30)
        expired = Authority(tmp_path / "tls/authority", long_ago).issue(tmp_path / "expired", BILLING, days=1)
        attacks = {
            "plain": None,
            "nothing to show": Tls(own.ca),
            "of another authority": replace(stranger, ca=own.ca),
            "signed by itself": Tls(own.ca, tmp_path / "stranger/ca.pem", tmp_path / "stranger/key.pem"),
            "expired": expired,
            # What the other side shows is not believed.
            "to a server of another authority": replace(own, ca=stranger.ca),
        }
        for what, tls in attacks.items():
            assert await place.refused(tls) == "UNAVAILABLE", what
        assert await place.call(own)


async def test_who_is_of_the_authority_and_nobody_here_is_refused(tmp_path: Path) -> None:
    async with listening(tmp_path) as place:
        assert await place.refused(place.shown("spiffe://elsewhere/service/training")) == "UNAUTHENTICATED"
        assert await place.refused(place.shown("https://symbiont/service/training")) == "UNAUTHENTICATED"
        assert await place.refused(place.shown("spiffe://symbiont/service/a/b")) == "UNAUTHENTICATED"
        assert await place.refused(place.shown(identity_of("symbiont", "client", "bob"))) == "PERMISSION_DENIED"


async def test_roles_change_without_a_new_certificate(tmp_path: Path) -> None:
    async with listening(tmp_path) as place:
        bob = identity_of("symbiont", "client", "bob")
        tls = place.shown(bob)
        assert await place.refused(tls) == "PERMISSION_DENIED"
        place.certificates.add_roles(bob, [Role.VIEWER])

        async def known() -> bool:
            try:
                return (await place.call(tls)).roles == {Role.VIEWER}
            except grpc.aio.AioRpcError:
                return False

        await until(known)


async def test_a_connection_outlives_no_certificate(tmp_path: Path) -> None:
    async with listening(tmp_path) as place:
        tls = place.shown(BILLING, days=4 / 86_400)
        async with aio_channel(f"127.0.0.1:{place.port}", (), tls) as channel:
            stub = model_pb2_grpc.ModelServiceStub(channel)

            async def told() -> str:
                try:
                    await stub.GetModel(model_pb2.GetModelRequest(), timeout=60)
                except grpc.aio.AioRpcError as exc:
                    return exc.code().name
                return "OK"

            async def refused() -> bool:
                return await told() != "OK"

            await until(refused)
            assert await told() in ("UNAUTHENTICATED", "UNAVAILABLE")


def test_grpc_is_given_certificates_only_when_the_files_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It frees those before, which other handshakes may be using: it must not happen with each connection."""
    asked: list[Any] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda first, fetch, mutual: asked.append(fetch))
    place = Place(tmp_path)
    served = place.settings.served_tls
    assert served
    server_credentials(Renewed(served), mutual=True)
    (fetch,) = asked
    assert [fetch(), fetch()] == [None, None]
    place.authority.issue(tmp_path / "tls/training", identity_of("symbiont", "service", "training"))
    until_sync(lambda: fetch() is not None)
    assert fetch() is None


async def test_tokens_have_an_address_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    with LittleIssuer() as issuer:
        how = {"token_address": f"127.0.0.1:{port}", "token_issuer": issuer.url}
        async with listening(tmp_path, **how) as place:
            ca = Tls(place.certificates.of("client").ca)

            async def known() -> bool:
                try:
                    return bool(await place.call(ca, issuer.token(), port))
                except grpc.aio.AioRpcError:
                    return False

            await until(known)
            ana = Principal("ana", "acme", frozenset({Role.TRAINER}))
            assert await place.call(ca, issuer.token(), port) == ana
            assert await place.refused(ca, "", port) == "UNAUTHENTICATED"
            assert await place.refused(ca, issuer.token(aud="elsewhere"), port) == "UNAUTHENTICATED"
            # No more is believed of whoever shows one than what it says.
            assert await place.call(place.certificates.of("client"), issuer.token()) == ana


async def test_a_token_where_no_issuer_is_believed(tmp_path: Path) -> None:
    async with listening(tmp_path) as place:
        assert await place.refused(place.certificates.of("client"), "x.y.z") == "UNAUTHENTICATED"


async def test_metrics_by_tls_and_when_the_certificate_ends(tmp_path: Path) -> None:
    place = Place(tmp_path, metrics_tls="mutual")
    place.listening.show_end(place.metrics.certificate_not_after, "training")
    port = place.metrics.serve("127.0.0.1:0", place.listening.web)
    own = place.certificates.of("client")
    context = ssl.create_default_context(cafile=str(own.ca))
    try:
        async with httpx.AsyncClient(verify=context) as nobody:
            # By TLS 1.3 the refusal comes with the first byte that is read, where httpx passes it on as it is.
            with pytest.raises((httpx.HTTPError, ssl.SSLError)):
                await nobody.get(f"https://localhost:{port}/metrics")
        context.load_cert_chain(str(own.certificate), str(own.key))
        async with httpx.AsyncClient(verify=context) as client:
            text = (await client.get(f"https://localhost:{port}/metrics")).text
    finally:
        place.metrics.close()
    (line,) = [one for one in text.splitlines() if one.startswith("symbiont_certificate_not_after")]
    left = float(line.split()[1]) - datetime.now(UTC).timestamp()
    assert line.startswith('symbiont_certificate_not_after_timestamp_seconds{service="training"}')
    assert left == pytest.approx(365 * 86_400, abs=86_400)
