"""A server under test, ours or a peer's: started, asked, made to rest while others are measured, and stopped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import symbiont
from serving.client import Load, LoadClient, Outcome, Target
from serving.peers import ENVIRONMENTS, SCRIPTS, Peer, environment_python
from serving.processes import rest, tree, wake
from serving.protocols import Protocol
from serving.workloads import Workload

START_SECONDS = 120.0
WARMUP_CALLS = 64


class StartError(Exception):
    """A server that does not come up, with what it said last."""


@dataclass
class Server:
    """A running server.

    Attributes:
        roots: its processes by what they do; what each started counts with it.
    """

    name: str
    protocol: Protocol
    address: str
    roots: Mapping[str, int]
    client: LoadClient

    def parts(self) -> dict[str, list[int]]:
        """Returns all of its processes by what they do."""
        return {part: tree(pid) for part, pid in self.roots.items()}

    @contextlib.contextmanager
    def awake(self) -> Iterator[dict[str, list[int]]]:
        """Lets it run for the block, and rest after it; gives its processes."""
        parts = self.parts()
        for pids in parts.values():
            wake(pids)
        try:
            yield parts
        finally:
            for pids in self.parts().values():
                rest(pids)

    def measure(self, workload: Workload) -> Outcome:
        """Sends a workload, after a few calls that do not count."""
        bodies = [self.protocol.encode(call) for call in workload.calls]
        target = Target(self.protocol.transport, self.address, self.protocol.path)
        with self.awake() as parts:
            return self.client.run(Load(target, bodies, workload.concurrency, min(WARMUP_CALLS, len(bodies)), parts))

    def labels(self, outcome: Outcome) -> list[str]:
        """Returns the labels of all texts, in their order."""
        return [label for reply in outcome.replies for label in self.protocol.decode(reply)]


@contextlib.contextmanager
def peer_server(peer: Peer, engine: str, model: Path, work: Path, port: int, threads: int) -> Iterator[Server]:
    """Runs a peer for the block; it rests when the block begins.

    Raises:
        StartError: it does not answer.
    """
    name = f"{peer.name}/{engine}"
    folder = work / name.replace("/", "-")
    folder.mkdir(parents=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [environment_python(peer.environment), peer.script],
            env=_environment(peer, engine, model, folder, port, threads),
            cwd=SCRIPTS,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with LoadClient() as client:
            server = Server(name, peer.protocol, f"127.0.0.1:{port}", {"server": process.pid}, client)
            _wait(server, process, folder / "server.log")
            yield server
    finally:
        _end(process)


def _environment(peer: Peer, engine: str, model: Path, work: Path, port: int, threads: int) -> dict[str, str]:
    binaries = environment_python(peer.environment).parent
    quiet = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false", "NO_PROXY": "*"}
    own = {
        "BENCH_MODEL": str(model),
        "BENCH_ENGINE": engine,
        "BENCH_THREADS": str(threads),
        "BENCH_PORT": str(port),
        "BENCH_WORK": str(work),
        "BENCH_TRITON": str(next((ENVIRONMENTS / "pytriton").glob("lib/python*/site-packages"), "")),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        # Only for Triton's launcher, which is the suite's.
        "PYTHONPATH": str(Path(symbiont.__path__[0]).parent),
    }
    return os.environ | quiet | own


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    end, failure = time.monotonic() + START_SECONDS, ""
    probe = Workload("probe", "", [["Is anybody there?"]], 1)
    while time.monotonic() < end:
        if process.poll() is not None:
            raise StartError(f"ended with status {process.returncode}: {_last_words(log)}")
        outcome = server.measure(probe)
        if not outcome.failure and server.labels(outcome):
            return
        failure = outcome.failure
        with server.awake():
            time.sleep(1.0)
    raise StartError(f"does not answer: {failure}: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-400:]


def _end(process: subprocess.Popen[bytes]) -> None:
    pids: Sequence[int] = tree(process.pid) if process.poll() is None else [process.pid]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # What has left its parent is still in the session's group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
