"""The process of one rank on its machine: started, watched, signalled, and never left behind.

As a program, `python -m symbiont.training.executors.ray_rank PARENT PROGRAM...`, becomes PROGRAM, tied to its parent.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

PR_SET_PDEATHSIG = 1
# Bytes of output that wait to be fetched; with more the process waits.
MAX_OUTPUT = 1 << 20
PIECE = 1 << 16


class Rank:
    """Holds one process and what it prints. Methods are called from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._output = bytearray()
        self._status: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._error: OSError | None = None

    def free_port(self) -> int:
        """Returns a port of this machine that was free a moment ago."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return int(probe.getsockname()[1])

    def start(self, command: Sequence[str], variables: Mapping[str, str]) -> int:
        """Starts a program with further variables; returns its pid.

        Raises:
            OSError: it cannot be started.
        """
        environment = {**os.environ, **variables}
        tied = [sys.executable, "-m", __name__, str(os.getpid()), *command]
        # The kernel ties a child to the thread that started it, so that thread stays until the child has ended.
        threading.Thread(target=self._run, args=(tied, environment), daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._process or self._error)
        if self._process is None:
            raise self._error or AssertionError
        return self._process.pid

    def poll(self, seconds: float) -> tuple[bytes, int | None]:
        """Waits for news, at most so long; returns what was printed since the last call, and in the end the status."""
        with self._changed:
            self._changed.wait_for(lambda: self._output or self._status is not None, seconds)
            output = bytes(self._output)
            self._output.clear()
            self._changed.notify_all()
            return output, self._status

    def signal(self, number: int) -> None:
        """Signals the process; SIGKILL also all that it has started."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        if number == signal.SIGKILL:
            _end_group(process.pid)
        else:
            process.send_signal(number)

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            self._set(error=exc)
            return
        self._set(process=process)
        reading = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        reading.start()
        status = process.wait()
        # What it has started would hold its output open.
        _end_group(process.pid)
        reading.join()
        self._set(status=status)

    def _set(self, **values: object) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, f"_{name}", value)
            self._changed.notify_all()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while piece := os.read(stream.fileno(), PIECE):
                with self._changed:
                    self._changed.wait_for(lambda: len(self._output) < MAX_OUTPUT)
                    self._output += piece
                    self._changed.notify_all()


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    """Has the kernel kill this process when its parent ends, whatever ends it, and becomes the program."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have ended before it was asked.
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606, a shell is what must not be in between


if __name__ == "__main__":
    main()
