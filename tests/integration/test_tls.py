"""Real services with certificates: rotated under load, and workers' passes."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from support.service import ServiceProcess, free_port
from symbiont.api.training.v1 import worker_pb2 as pb
from symbiont.api.training.v1 import worker_pb2_grpc
from symbiont.client import AsyncClient, Client, Credentials, Endpoints, Limits, RequestError
from symbiont.common.probe import check
from symbiont.common.security.authority import LOOPBACK, Authority, write_own
from symbiont.common.security.channels import plain_channel
from symbiont.common.security.files import LOOK_S
from symbiont.common.security.identity import identity_of
from symbiont.common.security.suite import CLIENT, TRUST_DOMAIN, SuiteCertificates, client_identity
from symbiont.common.settings import split_address
from symbiont.training.passes import METADATA_KEY, Passes

CALLS_IN_FLIGHT = 8


@pytest.fixture
def certificates(tmp_path: Path) -> SuiteCertificates:
    made = SuiteCertificates(tmp_path / "tls")
    made.prepare()
    return made


def secured(name: str, folder: Path, certificates: SuiteCertificates, **settings: object) -> ServiceProcess:
    shown = {key.removeprefix("SYMBIONT_").lower(): value for key, value in certificates.variables(name).items()}
    return ServiceProcess(name, folder, **shown, **settings)


@pytest.fixture
def tokenization(tmp_path: Path, certificates: SuiteCertificates) -> Iterator[ServiceProcess]:
    service = secured("tokenization", tmp_path, certificates, artifact_root=tmp_path / "artifacts")
    try:
        yield service.start()
    finally:
        service.end()


def shown_by(service: ServiceProcess, certificates: SuiteCertificates) -> int:
    """Returns the serial number of the certificate that a service shows to a new connection."""
    own = certificates.of(CLIENT)
    context = ssl.create_default_context(cafile=str(own.ca))
    context.load_cert_chain(str(own.certificate), str(own.key))
    context.set_alpn_protocols(["h2"])
    host, port = split_address(service.address)
    with ssl.create_connection((host, port)) as raw, context.wrap_socket(raw, server_hostname=host) as connection:
        shown = connection.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def serial(path: Path | None) -> int:
    assert path
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


class Rotation:
    """Gives a service and a client new certificates, at last those of another authority."""

    def __init__(self, certificates: SuiteCertificates, folder: Path) -> None:
        self._certificates = certificates
        self._old = Authority(certificates.folder / "authority")
        self._new = Authority(folder / "another")
        self._authorities = [path.read_bytes() for path in (certificates.of(CLIENT).ca, folder / "another/ca.pem")]

    def renew(self) -> None:
        self._issue(self._old, self._authorities[0])

    def believe_both(self) -> None:
        self._issue(self._old, b"".join(self._authorities))

    def change_authority(self) -> None:
        self._issue(self._new, b"".join(self._authorities))

    def forget_the_old(self) -> None:
        self._issue(self._new, self._authorities[1])

    def _issue(self, authority: Authority, believed: bytes) -> None:
        parts = {
            "tokenization": (identity_of(TRUST_DOMAIN, "service", "tokenization"), LOOPBACK),
            CLIENT: (client_identity(), ()),
        }
        for name, (identity, hosts) in parts.items():
            # Beside, and put in their places whole, as whoever rotates them should.
            made = authority.issue(self._certificates.folder / "made", identity, hosts)
            own = self._certificates.of(name)
            write_own(made.ca, believed)
            for source, target in zip(made.files(), own.files(), strict=True):
                source.replace(target)


async def test_certificates_rotate_under_load_and_no_call_fails(
    tokenization: ServiceProcess, certificates: SuiteCertificates, tmp_path: Path
) -> None:
    credentials = Credentials(certificates.of(CLIENT))
    endpoints = Endpoints(tokenization=tokenization.address)
    rotation, answered, done = Rotation(certificates, tmp_path), [0], asyncio.Event()

    async def ask(client: AsyncClient) -> None:
        while not done.is_set():
            assert [tokenizer async for tokenizer in client.list_tokenizers()] == []
            answered[0] += 1
            # Eight callers without a break would be load on the machine, and on nothing else.
            await asyncio.sleep(0.01)

    # Without patience, so that a call that fails is seen.
    once = Limits(patience=0)
    async with AsyncClient(endpoints, once, credentials=credentials) as client, asyncio.TaskGroup() as group:
        for _ in range(CALLS_IN_FLIGHT):
            group.create_task(ask(client))
        for step in (rotation.renew, rotation.believe_both, rotation.change_authority, rotation.forget_the_old):
            step()
            before = answered[0]
            # Each side looks once a second; then calls over the new ones.
            await asyncio.sleep(2 * LOOK_S)
            assert await asyncio.to_thread(shown_by, tokenization, certificates) == serial(
                certificates.of("tokenization").certificate
            )
            assert answered[0] > before
        done.set()
    assert [event["event"] for event in tokenization.events()].count("certificates renewed") == 4


def test_health_alone_is_for_everybody(tmp_path: Path, certificates: SuiteCertificates) -> None:
    alone, places = f"127.0.0.1:{free_port()}", {"artifact_root": tmp_path / "artifacts"}
    service = secured("tokenization", tmp_path, certificates, health_address=alone, **places)
    try:
        service.start()
        assert check(alone) == "SERVING"
        assert check(alone, "nobody") == "NOT_FOUND"
        assert check(service.address) == "UNAVAILABLE"
        assert check(service.address, tls=certificates.of(CLIENT)) == "SERVING"
        endpoints = Endpoints(tokenization=alone)
        nobody = Client(endpoints, Limits(patience=0), credentials=Credentials())
        with nobody, pytest.raises(RequestError) as caught:
            list(nobody.list_tokenizers())
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED
    finally:
        service.end()


@pytest.fixture
def training(tmp_path: Path, certificates: SuiteCertificates) -> Iterator[ServiceProcess]:
    places = {"artifact_root": tmp_path / "artifacts", "state_root": tmp_path / "jobs"}
    database = f"sqlite:///{tmp_path}/symbiont.db"
    service = secured("training", tmp_path, certificates, database_url=database, warm_workers="false", **places)
    try:
        yield service.start()
    finally:
        service.end()


def reported(service: ServiceProcess, certificates: SuiteCertificates, shown: str, attempt: int) -> str:
    """Says Hello as the worker of an attempt at job-x; returns the status."""
    hello = pb.WorkerMessage(job="jobs/job-x", attempt=attempt, hello=pb.Hello(pid=1, instance="x"))
    metadata = ((METADATA_KEY, shown),) if shown else ()
    with closing(plain_channel(service.address, (), certificates.of("worker"))) as channel:
        call = worker_pb2_grpc.WorkerServiceStub(channel).Report(iter([hello]), metadata=metadata, timeout=60)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
    error: Any = caught.value
    return str(error.code().name)


def test_a_worker_speaks_for_the_attempt_that_its_pass_is_for(
    training: ServiceProcess, certificates: SuiteCertificates, tmp_path: Path
) -> None:
    passes = Passes((tmp_path / "jobs/passes.key").read_bytes(), required=True)
    old, other = passes.sign("job-x", 1), passes.sign("job-y", 2)
    assert reported(training, certificates, "", 2) == "UNAUTHENTICATED"
    assert reported(training, certificates, Passes(b"x" * 32, required=True).sign("job-x", 2), 2) == "UNAUTHENTICATED"
    assert reported(training, certificates, old, 2) == "PERMISSION_DENIED"
    assert reported(training, certificates, other, 2) == "PERMISSION_DENIED"
    # The pass is good; there is no such job.
    assert reported(training, certificates, passes.sign("job-x", 2), 2) == "NOT_FOUND"
    log = training.log.read_text()
    assert not [shown for shown in (old, other) if shown in log]


def test_one_machine_refuses_who_shows_nothing(tokenization: ServiceProcess, certificates: SuiteCertificates) -> None:
    endpoints, once = Endpoints(tokenization=tokenization.address), Limits(patience=0)
    with Client(endpoints, once, credentials=Credentials()) as nobody, pytest.raises(RequestError):
        list(nobody.list_tokenizers())
    with Client(endpoints, once, credentials=Credentials(certificates.of(CLIENT))) as own:
        assert list(own.list_tokenizers()) == []
