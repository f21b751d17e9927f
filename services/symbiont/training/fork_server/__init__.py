"""Processes that need not load torch: forks of one that has."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from symbiont.common.errors import Unavailable
from symbiont.common.log import get_logger
from symbiont.common.threads import QUIET

# What a forked process may run: the `main` of these modules.
PROGRAMS = {
    "worker": "symbiont.training.worker.__main__",
    "planning": "symbiont.training.planning.__main__",
    "gate": "symbiont.training.gate.__main__",
    "judging": "symbiont.training.judging.__main__",
}
# What torch, numpy and tokenizers are to find when they are loaded: a process with threads cannot be forked.
SINGLE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
# A fork takes hundredths of a second, on a busy machine tenths.
PATIENCE_SECONDS = 30.0
MAX_MESSAGE = 1 << 20


@dataclass(frozen=True)
class Forked:
    """A process that was forked. `connection` says when it has ended: `{"status": ...}`, as subprocess counts it.

    It ends without a word when the fork server ends before the process.
    """

    pid: int
    connection: socket.socket


class ForkServer:
    """Its process on this machine, and the way to it. Methods are called from several threads."""

    def __init__(self, name: str = "") -> None:
        """`name` is that of one which somebody else runs; without, one is started that lives as long as this process.

        It answers after some seconds. Only Linux has what it needs.
        """
        self.name = name or f"symbiont-{uuid.uuid4().hex}"
        self._lock = threading.Lock()
        self._closed = False
        self._process = None if name else start(self.name)

    def ready(self) -> bool:
        """Whether it can fork."""
        connection = self._connect()
        if connection:
            connection.close()
        return connection is not None

    def fork(
        self, program: str, arguments: Sequence[str], environment: Mapping[str, str], output: int, errors: int
    ) -> Forked | None:
        """Starts one of PROGRAMS in a session of its own.

        Args:
            program: its name.
            arguments: what its `main` finds in `sys.argv`.
            environment: all variables that it has.
            output: file descriptor that becomes its stdout.
            errors: and its stderr.

        The process is called what the program would be when this returns, so that whoever looks for it finds it.

        Returns:
            None when there is no fork server, or none yet, or the environment is too large for it.

        Raises:
            Unavailable: it was asked, and has not answered: there may be a process or not.
        """
        connection = self._connect()
        if connection is None:
            return None
        order = {
            "program": program,
            "arguments": list(arguments),
            "environment": dict(environment),
            "cwd": str(Path.cwd()),
        }
        try:
            socket.send_fds(connection, [json.dumps(order).encode()], [output, errors])
        except OSError:
            connection.close()
            return None
        try:
            answer = connection.recv(MAX_MESSAGE)
        except OSError as exc:
            connection.close()
            raise Unavailable(f"the fork server does not answer: {exc}") from exc
        pid = json.loads(answer or "{}").get("pid")
        if not pid:
            connection.close()
            raise Unavailable("the fork server, or the fork, has ended before it said so")
        connection.settimeout(None)
        return Forked(pid, connection)

    def close(self) -> None:
        """Ends the process, where it is this one's own; what was forked goes on."""
        with self._lock:
            self._closed = True
        if self._process:
            # It may be loading still, and not look whether its stdin has ended.
            with self._process:
                self._process.terminate()

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(PATIENCE_SECONDS)
        try:
            connection.connect(address(self.name))
        except OSError:
            connection.close()
            self._revive()
            return None
        if not of_this_user(connection):
            connection.close()
            return None
        return connection

    def _revive(self) -> None:
        """Starts the own process again, where it has died: killed for its memory, as it may be."""
        with self._lock:
            if self._process and not self._closed and self._process.poll() is not None:
                get_logger().warning("the fork server has died, and is started again", status=self._process.returncode)
                with self._process:
                    # Closes the pipe to it.
                    self._process = start(self.name)


def address(name: str) -> str:
    """Returns the address of a fork server: one without a file, which nobody has to remove."""
    return f"\0{name}"


def of_this_user(connection: socket.socket) -> bool:
    """Whether the other side runs for the same user, which the address alone does not tell."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.getuid())


def start(name: str) -> "subprocess.Popen[bytes]":
    """Starts a fork server of that name; it ends when its stdin does, thus with its parent."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, name],
        stdin=subprocess.PIPE,
        env={**QUIET, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", **os.environ, **SINGLE},
    )
