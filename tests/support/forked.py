"""A process that a fork server has made, with what tests use of `subprocess.Popen`."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from typing import Protocol

from symbiont.training.fork_server import MAX_MESSAGE, Forked


class Process(Protocol):
    """What `ForkedProcess` and `subprocess.Popen` have in common here."""

    pid: int

    def poll(self) -> int | None:
        """Returns the exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit status when it has ended."""

    def send_signal(self, sig: int) -> None:
        """Sends a signal, unless it has ended."""

    def kill(self) -> None:
        """Ends it."""


class ForkedProcess:
    """The fork server is its parent, and says when it has ended."""

    def __init__(self, forked: Forked) -> None:
        self.pid = forked.pid
        self._connection = forked.connection
        self._status: int | None = None

    def poll(self) -> int | None:
        """Returns the exit status, None while it runs."""
        if self._status is None:
            with suppress(BlockingIOError):
                self._receive(0)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit status when it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not after so many seconds.
        """
        if self._status is None:
            try:
                self._receive(timeout)
            except TimeoutError as exc:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from exc
        assert self._status is not None
        return self._status

    def send_signal(self, sig: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Ends it."""
        self.send_signal(signal.SIGKILL)

    def _receive(self, timeout: float | None) -> None:
        self._connection.settimeout(timeout)
        # Without a word: the fork server has ended first.
        answer = self._connection.recv(MAX_MESSAGE) or b'{"status": -9}'
        self._connection.close()
        self._status = int(json.loads(answer)["status"])
