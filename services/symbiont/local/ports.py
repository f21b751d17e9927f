"""Picks ports: the wanted ones where they are free, others where they are not."""

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, repeat

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback now."""
    try:
        with _bound(port):
            return True
    except OSError:
        return False


@contextmanager
def reserved(wanted: Mapping[str, Iterable[int]]) -> Iterator[dict[str, int]]:
    """Yields a different free port for each name: the first free one of those wanted, else any.

    Until the block ends, or this process does, no other caller of this function gets any of them, even before a server
    listens there: two suites that start at once would else take each other's services for their own.
    """
    with ExitStack() as claims:
        with ExitStack() as held:
            # Every port is held until all are chosen, so that no two names get the same one.
            chosen = {name: _first(ports, held, claims) for name, ports in wanted.items()}
        yield chosen


def _first(ports: Iterable[int], held: ExitStack, claims: ExitStack) -> int:
    # Any port of the system's choice may be claimed by a suite that has yet to listen there: then the next.
    for wanted in chain(ports, repeat(0)):
        with suppress(OSError):
            taken = held.enter_context(_bound(wanted))
            port = int(taken.getsockname()[1])
            claims.enter_context(_claimed(port))
            return port
    raise AssertionError("unreachable: there is always another port")


def _claimed(port: int) -> socket.socket:
    """Claims a port by a name among the system's abstract sockets, which end with the process; raises OSError."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0symbiont/port/{port}")
    except OSError:
        claim.close()
        raise
    return claim


def _bound(port: int) -> socket.socket:
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port that only lingers after its last server is free; one that a server listens on is not.
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
        taken.listen(1)
    except OSError:
        taken.close()
        raise
    return taken
