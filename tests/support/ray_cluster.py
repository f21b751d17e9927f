"""A Ray cluster on this machine: a head and further nodes, each a `ray start --block`, on free ports and with a token.

Ray is installed beside .venv by `make ray`. The cluster runs on this Python, so that jobs have torch and the package.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support.service import free_port
from support.waiting import until_sync

INSTALLED = Path(__file__).parents[2] / ".tools" / "ray"
needs_ray = pytest.mark.skipif(
    not (INSTALLED / ".installed").is_file(), reason="Ray is not installed: `make ray` does so and runs these tests"
)
START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
# Names everything that belongs to one cluster, jobs and their processes included.
MARK = "SYMBIONT_TEST_RAY"
# The least that Ray takes.
OBJECT_STORE_BYTES = 80_000_000
START_SECONDS = 90
STOP_SECONDS = 5


class RayNode:
    """One node: a raylet and what it has started."""

    def __init__(self, process: "subprocess.Popen[bytes]", identifier: str) -> None:
        self._process = process
        # All of the node's own processes are in it.
        self.session = process.pid
        self.id = identifier

    def raylet(self) -> psutil.Process:
        """Returns the process whose death is the node's."""
        (found,) = [p for p in psutil.Process(self._process.pid).children() if p.name() == "raylet"]
        return found

    def kill(self) -> None:
        """Ends the raylet with SIGKILL, as a machine's failure would."""
        self.raylet().kill()
        self._process.wait(START_SECONDS)

    def terminate(self) -> None:
        """Asks the node to end."""
        self._process.terminate()

    def wait(self) -> None:
        """Waits until the node has ended."""
        self._process.wait(START_SECONDS)


class RayCluster:
    """A head, with a dashboard at `address` that asks for `token`, and the nodes that were added."""

    def __init__(self, cpus: int) -> None:
        """Starts the head; `cpus` is what Ray believes that each node has."""
        self.token = secrets.token_hex(16)
        self._cpus = cpus
        # Ray's sockets have paths of limited length.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self._log = self.folder / "start.log"
        dashboard, self._port = free_port(), free_port()
        self.address = f"http://127.0.0.1:{dashboard}"
        self.nodes: list[RayNode] = []
        ports = {"port": self._port, "dashboard-port": dashboard, "ray-client-server-port": free_port()}
        self.add_node("--head", "--dashboard-host=127.0.0.1", *(f"--{name}={port}" for name, port in ports.items()))

    def add_node(self, *options: str) -> RayNode:
        """Adds a node and waits until the cluster has it."""
        known = {node.id for node in self.nodes}
        command = [
            *START,
            *(options or (f"--address={self._head_address()}",)),
            f"--num-cpus={self._cpus}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--dashboard-agent-listen-port={free_port()}",
            # Any: Ray's own range holds ports that others here were given.
            "--min-worker-port=0",
            "--max-worker-port=0",
        ]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment(), start_new_session=True)
        node = RayNode(process, "")
        self.nodes.append(node)
        until_sync(lambda: process.poll() is not None or bool(self.alive() - known), START_SECONDS)
        assert process.poll() is None, self._log.read_text()
        (node.id,) = self.alive() - known
        return node

    def alive(self) -> set[str]:
        """Returns the ids of the nodes that the cluster counts as alive."""
        return {node["node_id"] for node in self._state() if node["state"] == "ALIVE"}

    def processes(self) -> list[psutil.Process]:
        """Returns every process of the cluster, and of its jobs, which have sessions of their own."""
        sessions = {node.session for node in self.nodes}
        return [p for p in psutil.process_iter() if _session(p) in sessions or self._is_marked(p)]

    def memory(self) -> int:
        """Returns the bytes that all of it takes, shared pages counted once."""
        return sum(_proportional(process) for process in self.processes())

    def stop(self) -> None:
        """Ends every node, what is left of them, and the folder."""
        for node in reversed(self.nodes):
            node.terminate()
        # Ray waits for jobs that run, which nobody does here.
        psutil.wait_procs(self.processes(), STOP_SECONDS)
        left = self.processes()
        for process in left:
            process.kill()
        psutil.wait_procs(left, START_SECONDS)
        for node in self.nodes:
            node.wait()
        assert self.processes() == []
        shutil.rmtree(self.folder)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(INSTALLED),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(self.folder),
            # Whatever else fills this machine, Ray is not to end what it runs for it.
            "RAY_memory_monitor_refresh_ms": "0",
            MARK: str(self.folder),
        }

    def _head_address(self) -> str:
        (head,) = [node["node_ip"] for node in self._state() if node["is_head_node"]]
        return f"{head}:{self._port}"

    def _state(self) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.get(f"{self.address}/api/v0/nodes", headers=headers, trust_env=False, timeout=30)
        except httpx.TransportError:
            return []
        if not answer.is_success:
            return []
        found: list[dict[str, Any]] = answer.json()["data"]["result"]["result"]
        return found

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == str(self.folder)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


@contextmanager
def ray_cluster(nodes: int, cpus: int = 1) -> Iterator[RayCluster]:
    """Runs a cluster of so many nodes, the head among them, with so many CPUs each."""
    cluster = RayCluster(cpus)
    try:
        while len(cluster.nodes) < nodes:
            cluster.add_node()
        yield cluster
    finally:
        cluster.stop()


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
