"""A service of the suite as a process of its own, on free ports of the loopback address."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

from support.forked import ForkedProcess, Process
from support.waiting import until_sync
from symbiont.common.threads import QUIET
from symbiont.training.fork_server import SINGLE, ForkServer

# What names the fork server that services, and scripts of tests, are to use.
FORK_SERVER = "SYMBIONT_FORK_SERVER"
_OWN = f"symbiont-{uuid.uuid4().hex}"
_STARTING = threading.Lock()
# Whose stdin is to stay open.
_KEPT: list["subprocess.Popen[bytes]"] = []

# Below those that the system gives to connections, one of which could be where a service is to listen.
_PORTS = range(10_000, 32_000)
# Not that of a test, which may have begun it anew.
_CHANCE = random.SystemRandom()


def free_port() -> int:
    """Returns a port that was free a moment ago."""
    while True:
        port = _CHANCE.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def fork_server(service: str = "") -> ForkServer:
    """Returns that of which all workers are forks, unless a test says otherwise, or that of a kind of service.

    It ends with this process.
    """
    # Two threads that ask at once would start two, of which one ends at once and is nobody's to look after.
    with _STARTING:
        return _started(service)


@cache
def _started(service: str) -> ForkServer:
    if name := os.environ.get(FORK_SERVER):
        return ForkServer(f"{name}{service}")
    name = f"{_OWN}{service}"
    # It ends when its stdin does, thus with this process.
    process = subprocess.Popen(
        [sys.executable, "-m", "support.fork_server", name, *([service] if service else [])],
        stdin=subprocess.PIPE,
        env={**QUIET, **os.environ, **SINGLE, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    server = ForkServer(name)
    until_sync(lambda: server.ready() or process.poll() is not None, 60)
    assert process.poll() is None
    _KEPT.append(process)
    return server


class ServiceProcess:
    """`python -m symbiont.<name>` with settings; it can be killed and started again on the same port.

    Where `forked` is set, as tests have it, it is a fork of a process that has loaded the service: it serves a second
    earlier. Benchmarks start what a user does.
    """

    forked = FORK_SERVER in os.environ

    def __init__(self, name: str, folder: Path, **settings: object) -> None:
        self.name = name
        self.address = f"127.0.0.1:{free_port()}"
        self.metrics_address = f"127.0.0.1:{free_port()}"
        self.log = folder / f"{name}.log"
        if name == "training" and not {"fork_server", "worker_program", "warm_workers"} & settings.keys():
            settings["fork_server"] = fork_server().name
        values = {"address": self.address, "metrics_address": self.metrics_address, **settings}
        self._environment = os.environ | {f"SYMBIONT_{key.upper()}": str(value) for key, value in values.items()}
        self._command = [sys.executable, "-m", f"symbiont.{name}"]
        self._process: Process | None = None

    def run(self, command: list[str]) -> None:
        """Lets the process run something else in place of the service's own module."""
        self._command = command
        self.forked = False

    def see(self, folder: Path) -> None:
        """Lets the process import what lies in a folder."""
        self.forked = False
        self._environment["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])

    def start(self) -> "ServiceProcess":
        """Starts the process and waits until it serves."""
        before = self._count("serving")
        with self.log.open("ab") as log:
            self._process = self._fork(log.fileno()) or subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment
            )
        until_sync(lambda: self._count("serving") > before or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.log.read_text()
        return self

    def _fork(self, log: int) -> Process | None:
        if not self.forked:
            return None
        forked = fork_server(self.name).fork("service", [], self._environment, log, log)
        return forked and ForkedProcess(forked)

    @property
    def process(self) -> Process:
        """The running process."""
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """Ends the process with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ends the process with SIGTERM; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def end(self) -> None:
        """Ends the process, if it was ever started, whatever it says to that."""
        if self._process is not None:
            self.stop()

    def events(self) -> list[dict[str, object]]:
        """Returns what it logged; every line must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def _count(self, event: str) -> int:
        text = self.log.read_text() if self.log.exists() else ""
        return text.count(f'"event": "{event}"')


class InspectedProcess(ServiceProcess):
    """A service of which one can ask what lives in it."""

    def __init__(self, name: str, folder: Path, **settings: object) -> None:
        super().__init__(name, folder, **settings)
        self._living = folder / f"{name}.living.json"
        script = Path(__file__).with_name("inspected.py")
        # -P: modules beside the script have names that libraries have too.
        self.run([sys.executable, "-P", str(script), name, str(self._living)])

    def living(self) -> dict[str, int]:
        """Returns how many objects of each class of Symbiont's and gRPC's live, and tasks that are not done."""
        self._living.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        until_sync(self._living.exists)
        found: dict[str, int] = json.loads(self._living.read_text())
        return found
