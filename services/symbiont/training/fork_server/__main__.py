"""`python -m symbiont.training.fork_server NAME`: loads torch, then forks a worker or a plan whenever it is asked to.

Ends when its stdin does. Each connection asks once, by an object in JSON and the file descriptors for output and
errors, and is told the `pid` by the process itself, and its `status` when it has ended.
"""

import argparse
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import setproctitle

from symbiont.training.fork_server import MAX_MESSAGE, PROGRAMS, address, of_this_user

# What a worker loads and a plan does, and what these load later, when they have met the base: nearly all are BERTs.
PRELOADED = (
    "symbiont.training.worker.__main__",
    "symbiont.training.worker.attempt",
    "symbiont.training.planning.__main__",
    "symbiont.training.planning.probe",
    "symbiont.training.heads.classification",
    "symbiont.training.methods.lora",
    "grpc._channel",
    "peft",
    "peft.utils.transformers_weight_conversion",
    "sklearn.metrics",
    "transformers.models.bert.modeling_bert",
)


@dataclass(frozen=True)
class Order:
    """What a process is to run, and where its output and errors go."""

    program: str
    arguments: list[str]
    environment: dict[str, str]
    cwd: str
    descriptors: list[int]
    connection: socket.socket


class Server:
    """Forks on request, and tells of the end."""

    def __init__(self, name: str) -> None:
        self._selector = selectors.DefaultSelector()
        # Sockets and descriptors of processes that are open: a child has no business with them.
        self._connections: set[socket.socket] = set()
        self._children: dict[int, tuple[int, socket.socket]] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(address(name))
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def serve(self) -> Order | None:
        """Returns None when stdin has ended, and in each child what that is to do."""
        self._selector.register(sys.stdin.buffer, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return None
                if order := key.data(key.fileobj):
                    self._leave(order)
                    return order  # type: ignore[no-any-return]

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        if not of_this_user(connection):
            connection.close()
            return
        self._connections.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._take)

    def _take(self, connection: socket.socket) -> Order | None:
        """Returns in the child."""
        message, descriptors, _, _ = socket.recv_fds(connection, MAX_MESSAGE, 2)
        self._selector.unregister(connection)
        if not message:
            self._drop(connection)
            return None
        pid = os.fork()
        if not pid:
            return Order(**json.loads(message), descriptors=descriptors, connection=connection)
        for descriptor in descriptors:
            os.close(descriptor)
        ending = os.pidfd_open(pid)
        self._children[ending] = (pid, connection)
        self._selector.register(ending, selectors.EVENT_READ, self._ended)
        return None

    def _ended(self, ending: int) -> None:
        pid, connection = self._children.pop(ending)
        self._selector.unregister(ending)
        os.close(ending)
        _, status = os.waitpid(pid, 0)
        tell(connection, status=os.waitstatus_to_exitcode(status))
        self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        connection.close()

    def _leave(self, order: Order) -> None:
        """Lets go, in a child, of what is its parent's."""
        self._selector.close()
        self._listener.close()
        for connection in self._connections - {order.connection}:
            connection.close()
        for ending in self._children:
            os.close(ending)


def tell(connection: socket.socket, **values: Any) -> None:
    """Tells whoever asked, unless they are gone."""
    with suppress(OSError):
        connection.send(json.dumps(values).encode(), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def become(order: Order) -> None:
    """Makes this fork what a process is that was started with these arguments, and runs the program."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate([null, *order.descriptors]):
        os.dup2(descriptor, number)
    for descriptor in {null, *order.descriptors}:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.cwd)
    module = PROGRAMS[order.program]
    sys.argv = [module.removesuffix(".__main__"), *order.arguments]
    setproctitle.setproctitle(" ".join([sys.executable, "-m", *sys.argv]))
    tell(order.connection, pid=os.getpid())
    order.connection.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if (threads := order.environment.get("OMP_NUM_THREADS")) and (torch := sys.modules.get("torch")):
        torch.set_num_threads(int(threads))
    importlib.import_module(module).main()


def main() -> None:
    """Loads, serves, and in each child runs what was asked for."""
    parser = argparse.ArgumentParser(prog="symbiont-fork-server", description=__doc__)
    parser.add_argument("name", help="the address at which it listens, for this user alone")
    name = parser.parse_args().name
    # Ctrl-C in a terminal reaches the whole group, and this ends with its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # It looks for the place of the title beside the variables, which a child replaces.
    setproctitle.getproctitle()
    for module in PRELOADED:
        importlib.import_module(module)
    if loading := sys.modules.get("transformers.conversion_mapping"):
        # Makes what every model that is loaded is asked about: a thousand expressions.
        loading.get_checkpoint_conversion_mapping("bert")
    # A collection would write to every object, and memory that is written to is shared no more.
    gc.collect()
    gc.freeze()
    order = Server(name).serve()
    if order:
        become(order)


if __name__ == "__main__":
    main()
