"""Connections by the thousand that want nothing good, while a caller with a certificate is answered as ever.

Four thousand in every run, a hundred thousand in `make security`.
"""

import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psutil
import pytest

from support.proofs import size
from support.service import ServiceProcess
from support.waiting import until_sync
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.security.channels import plain_channel
from symbiont.common.security.suite import CLIENT, SuiteCertificates
from symbiont.common.settings import split_address

ATTEMPTS = size("CONNECTIONS", small=4_000, whole=100_000)
# Of them so many are open at a time; the oldest is closed for each new one.
OPEN = 300
# The known caller asks after so many.
BETWEEN = 50
# Beside those that are open: what the service has anyway, and what it is about to close.
MOST_FILES, MOST_GROWTH = 2 * OPEN + 100, 96 << 20
# What a connection says once it is open.
WORDS = {
    "nothing": b"",
    "noise": b"\xff" * 512,
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2 without TLS": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
    "the beginning of a handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 16,
    "a handshake that claims to be long": b"\x16\x03\x01\xff\xff" + b"\1" * 64,
}


@dataclass
class Watched:
    """The process that is attacked: what it holds, at most."""

    process: psutil.Process
    files: int = 0
    memory: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Takes note of now."""
        self.files = max(self.files, self.process.num_fds())
        self.memory.append(self.process.memory_info().rss)

    @property
    def grown(self) -> int:
        """Bytes that the last tenth of the attack has more than the second: by then pools and caches are full."""
        tenth = max(len(self.memory) // 10, 1)
        return max(self.memory[-tenth:]) - max(self.memory[tenth : 2 * tenth])


@pytest.fixture
def certificates(tmp_path: Path) -> SuiteCertificates:
    made = SuiteCertificates(tmp_path / "tls")
    made.prepare()
    return made


@pytest.fixture
def service(tmp_path: Path, certificates: SuiteCertificates) -> Iterator[ServiceProcess]:
    shown = {
        key.removeprefix("SYMBIONT_").lower(): value for key, value in certificates.variables("tokenization").items()
    }
    started = ServiceProcess("tokenization", tmp_path, artifact_root=tmp_path / "artifacts", **shown)
    try:
        yield started.start()
    finally:
        started.end()


@pytest.fixture
def answered(service: ServiceProcess, certificates: SuiteCertificates) -> Callable[[], bool]:
    """Whether a caller that the service knows is answered, on a connection of its own."""

    def ask() -> bool:
        with closing(plain_channel(service.address, (), certificates.of(CLIENT))) as channel:
            TokenizationServiceStub(channel).ListTokenizers(pb.ListTokenizersRequest(), timeout=60)
        return True

    return ask


def connect(address: str) -> socket.socket:
    """Opens a connection that, once closed, leaves nothing on this side: ports would run out."""
    opened = socket.create_connection(split_address(address), timeout=60)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return opened


def shake_hands(address: str, context: ssl.SSLContext) -> socket.socket:
    """Opens a connection with TLS, by whatever the context shows."""
    raw = connect(address)
    # The refusal comes with the first word, or already with the handshake.
    with suppress(OSError):
        return context.wrap_socket(raw, server_hostname="localhost")
    return raw


@pytest.mark.attack
@pytest.mark.timeout(3600)
def test_a_known_caller_is_answered_beside_them(
    service: ServiceProcess, certificates: SuiteCertificates, answered: Callable[[], bool]
) -> None:
    nobody = ssl.create_default_context(cafile=str(certificates.of(CLIENT).ca))
    nobody.set_alpn_protocols(["h2"])
    kinds = cycle([*WORDS.values(), None])
    watched = Watched(psutil.Process(service.process.pid))
    assert answered()
    before, opened = watched.process.num_fds(), deque[socket.socket]()
    for number in range(ATTEMPTS):
        word = next(kinds)
        connection = shake_hands(service.address, nobody) if word is None else connect(service.address)
        with suppress(OSError):
            connection.sendall(word or b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        opened.append(connection)
        if len(opened) > OPEN:
            opened.popleft().close()
        assert service.process.poll() is None, number
        if number % BETWEEN == 0:
            assert answered()
            watched.look()
    for connection in opened:
        connection.close()
    assert answered()
    assert watched.files < before + MOST_FILES
    assert watched.grown < MOST_GROWTH
    # And when they are gone, nothing of them is left.
    until_sync(lambda: watched.process.num_fds() <= before + 20, 60)
