"""A process with torch loaded, and its forks: heard to the end, of their own kind, and nobody's burden."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from support.service import fork_server
from support.waiting import until_sync
from symbiont.common.errors import Unavailable
from symbiont.training.fork_server import MAX_MESSAGE, Forked, ForkServer, address

# A spec that the worker reads from a pipe: it has begun, and waits.
ARGUMENTS = ["--spec", "{pipe}", "--attempt", "1"]
HOLDS = """
import time
from symbiont.training.fork_server import ForkServer
server = ForkServer()
while not server.ready():
    time.sleep(0.05)
print(server.name, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def server() -> ForkServer:
    return fork_server()


@dataclass
class Waiting:
    """A worker that waits for its spec."""

    forked: Forked
    pipe: Path
    log: Path

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.forked.pid)

    def status(self) -> int | None:
        with self.forked.connection as connection:
            said = connection.recv(1000)
        return int(json.loads(said)["status"]) if said else None


def fork(server: ForkServer, folder: Path, **variables: str) -> Waiting:
    pipe, log = folder / "a spec.json", folder / "log"
    os.mkfifo(pipe)
    with log.open("wb") as stream:
        arguments = [word.format(pipe=pipe) for word in ARGUMENTS]
        environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "2", **variables}
        forked = server.fork("worker", arguments, environment, stream.fileno(), stream.fileno())
    assert forked
    return Waiting(forked, pipe, log)


def test_a_fork_is_what_a_program_would_be(server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    mark = tmp_path / "worker.json"
    waiting = fork(server, tmp_path, SYMBIONT_WORKER_MARK=str(mark))
    until_sync(mark.exists)
    process = waiting.process
    told = json.loads(mark.read_text())
    assert told == {"pid": process.pid, "create_time": process.create_time()}
    command = " ".join(process.cmdline()).strip()
    assert command == f"{sys.executable} -m symbiont.training.worker --spec {waiting.pipe} --attempt 1"
    assert os.getsid(process.pid) == process.pid
    assert Path(process.cwd()) == tmp_path / "here"
    # What it was given, and the pipe from which it reads: nothing of its parent's.
    names = {descriptor.readlink() for descriptor in Path(f"/proc/{process.pid}/fd").iterdir()}
    assert names == {Path(os.devnull), waiting.log}
    # Two at once, each told of its own end.
    (tmp_path / "other").mkdir()
    other = fork(server, tmp_path / "other")
    process.kill()
    assert waiting.status() == -signal.SIGKILL
    assert not gone(other.forked.pid)
    other.pipe.write_text("{}")
    assert other.status() == 2
    assert "--attempt is 1, the spec is for attempt 0" in other.log.read_text()


def test_signals_end_it_as_they_would_a_program(server: ForkServer, tmp_path: Path) -> None:
    waiting = fork(server, tmp_path)
    waiting.process.send_signal(signal.SIGTERM)
    assert waiting.status() == -signal.SIGTERM


def test_a_failure_is_printed(server: ForkServer, tmp_path: Path) -> None:
    waiting = fork(server, tmp_path)
    waiting.pipe.write_text("no JSON")
    assert waiting.status() == 1
    assert "ParseError" in waiting.log.read_text()


def test_who_leaves_does_not_take_the_process_along(server: ForkServer, tmp_path: Path) -> None:
    waiting = fork(server, tmp_path)
    waiting.forked.connection.close()
    (tmp_path / "other").mkdir()
    # It goes on for others, too.
    other = fork(server, tmp_path / "other")
    assert not gone(waiting.forked.pid)
    for each in (waiting, other):
        each.process.kill()
    assert other.status() == -signal.SIGKILL
    until_sync(lambda: gone(waiting.forked.pid))


def test_what_is_too_much_for_a_message_is_not_forked(server: ForkServer) -> None:
    assert server.fork("worker", [], {"A": "a" * 4_000_000}, 1, 2) is None
    assert server.ready()


def test_nobody_else_may_ask(server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not server.ready()
    assert server.fork("worker", [], {}, 1, 2) is None


def test_there_may_be_none() -> None:
    absent = ForkServer("symbiont-absent")
    assert not absent.ready()
    assert absent.fork("worker", [], {}, 1, 2) is None
    absent.close()


@pytest.mark.slow
def test_it_ends_with_its_parent_and_its_forks_go_on(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        server = ForkServer(holder.stdout.readline().strip())
        (process,) = psutil.Process(holder.pid).children()
        waiting = fork(server, tmp_path)
        holder.kill()
    until_sync(lambda: gone(process.pid))
    assert not server.ready()
    assert waiting.status() is None
    assert not gone(waiting.forked.pid)
    waiting.process.kill()
    until_sync(lambda: gone(waiting.forked.pid))


def test_whether_one_that_ends_has_forked_is_not_known() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address("symbiont-silent"))
        listener.listen()

        def end() -> None:
            connection, _ = listener.accept()
            connection.recv(MAX_MESSAGE)
            connection.close()

        ending = threading.Thread(target=end)
        ending.start()
        with pytest.raises(Unavailable, match="has ended before it said so"):
            ForkServer("symbiont-silent").fork("worker", [], {}, 1, 2)
        ending.join()


@pytest.mark.slow
def test_its_own_is_started_again_when_it_dies_and_ends_with_it() -> None:
    own = ForkServer()
    (first,) = [child for child in psutil.Process().children() if own.name in child.cmdline()]
    first.kill()
    until_sync(lambda: first.status() == psutil.STATUS_ZOMBIE)
    assert own.fork("worker", [], {}, 1, 2) is None
    until_sync(own.ready, 60)
    assert not first.is_running()
    own.close()
    assert not own.ready()
