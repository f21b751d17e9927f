"""A process that a fork server has made, with what tests use of `subprocess.Popen`."""

import json
import os
import signal
import subprocess
import threading
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
    """The fork server is its parent, and says when it has ended. One thread may wait while others poll."""

    def __init__(self, forked: Forked) -> None:
        self.pid = forked.pid
        # The exit status, None until somebody has seen that it ended.
        self.returncode: int | None = None
        self._connection = forked.connection
        self._receiving = threading.Lock()

    def poll(self) -> int | None:
        """Returns the exit status, None while it runs."""
        # Who waits is told first.
        if self.returncode is None and self._receiving.acquire(blocking=False):
            try:
                with suppress(BlockingIOError):
                    self._receive(0)
            finally:
                self._receiving.release()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit status when it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not after so many seconds.
        """
        with self._receiving:
            try:
                self._receive(timeout)
            except TimeoutError as exc:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from exc
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it."""
        self.send_signal(signal.SIGKILL)

    def _receive(self, timeout: float | None) -> None:
        if self.returncode is not None:
            return
        self._connection.settimeout(timeout)
        # Without a word: the fork server has ended first.
        answer = self._connection.recv(MAX_MESSAGE) or b'{"status": -9}'
        self._connection.close()
        self.returncode = int(json.loads(answer)["status"])
