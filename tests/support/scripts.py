"""Scripts in processes of their own that need not load torch: forks of one that has."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from support.service import FORK_SERVER, fork_server
from symbiont.training.fork_server import MAX_MESSAGE


def run_script(script: Path, *arguments: object, timeout: float) -> "subprocess.CompletedProcess[str]":
    """Runs a script with these arguments; returns how it ended and what it printed.

    Raises:
        TimeoutError: it has not ended after so many seconds, and was killed.
    """
    words = [str(script), *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        environment = {**os.environ, FORK_SERVER: fork_server().name}
        forked = fork_server().fork("script", words, environment, output.fileno(), errors.fileno())
        assert forked is not None
        with forked.connection as connection:
            connection.settimeout(timeout)
            try:
                status = json.loads(connection.recv(MAX_MESSAGE))["status"]
            except TimeoutError:
                os.killpg(forked.pid, signal.SIGKILL)
                raise
        for stream in (output, errors):
            stream.seek(0)
        return subprocess.CompletedProcess(words, status, output.read(), errors.read())
