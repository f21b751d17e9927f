"""Picks ports: the wanted ones where they are free, others where they are not."""

import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback now."""
    try:
        with _bound(port):
            return True
    except OSError:
        return False


def choose(wanted: Mapping[str, Iterable[int]]) -> dict[str, int]:
    """Returns a different free port for each name: the first free one of those wanted, else any."""
    with ExitStack() as held:
        # Every port is held until all are chosen, so that no two names get the same one.
        sockets = {name: held.enter_context(_first(ports)) for name, ports in wanted.items()}
        return {name: int(taken.getsockname()[1]) for name, taken in sockets.items()}


def _first(ports: Iterable[int]) -> socket.socket:
    for port in ports:
        try:
            return _bound(port)
        except OSError:
            continue
    return _bound(0)


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
