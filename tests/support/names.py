"""A name server that gives out addresses of a test's choice for whatever name it is asked."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ADDRESS, _INTERNET = 1, 1
_ANSWERED = 0x8180
_HEADER = 12


@contextmanager
def name_server(addresses: list[str]) -> Iterator[str]:
    """Yields its `host:port`; `addresses` may change while it runs, and are good for no time at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        done = threading.Event()
        serving = threading.Thread(target=_serve, args=(server, addresses, done))
        serving.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            serving.join()


def _serve(server: socket.socket, addresses: list[str], done: threading.Event) -> None:
    while not done.is_set():
        try:
            query, caller = server.recvfrom(512)
        except TimeoutError:
            continue
        server.sendto(_answer(query, addresses), caller)


def _answer(query: bytes, addresses: list[str]) -> bytes:
    """An answer by RFC 1035: the question again, and each address as a record that points at its name."""
    # A name is labels with their lengths, up to one of length 0; type and class follow.
    end = query.index(b"\0", _HEADER) + 5
    (kind,) = struct.unpack("!H", query[end - 4 : end - 2])
    found = addresses if kind == _ADDRESS else []
    header = query[:2] + struct.pack("!5H", _ANSWERED, 1, len(found), 0, 0)
    records = [
        struct.pack("!HHHIH", 0xC000 | _HEADER, _ADDRESS, _INTERNET, 0, 4) + socket.inet_aton(one) for one in found
    ]
    return header + query[_HEADER:end] + b"".join(records)
