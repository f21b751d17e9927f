"""A node of the simulated cluster: it runs the containers of its pods as processes of this machine.

Not a container: a process sees all of this machine, and only the file with its spec is put in place. All pods have
one address, so that each worker gets a port of its own to meet at.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.kubernetes_api import SimulatedApi
from support.kubernetes_cluster import variables_of
from support.kubernetes_schemas import Object
from support.service import free_port

LOOK_SECONDS = 0.05


class Kubelet:
    """Starts what waits, passes signals on, and tells the API of logs and ends."""

    def __init__(self, api: SimulatedApi, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}
        self._heard = 0

    def run(self, stopping: threading.Event) -> None:
        """Looks again and again, until the test is over; no process is left."""
        while not stopping.wait(LOOK_SECONDS):
            with self._api.lock:
                self._look()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _look(self) -> None:
        cluster = self._api.cluster
        for pod in cluster.pods():
            name = pod["metadata"]["name"]
            if name not in self.processes and self._can_start(pod):
                self.processes[name] = self._start(pod)
                cluster.start(name)
        for name, signal in cluster.signals[self._heard :]:
            process = self.processes[name]
            process.terminate() if signal == "SIGTERM" else process.kill()
        self._heard = len(cluster.signals)
        for name, process in self.processes.items():
            if ("Pod", name) in cluster.objects:
                cluster.logs[name] = (self._folder / name / "log").read_bytes()
                if process.poll() is not None and cluster.objects["Pod", name]["status"]["phase"] == "Running":
                    cluster.end(
                        name, status=process.returncode if process.returncode >= 0 else 128 - process.returncode
                    )

    def _can_start(self, pod: Object) -> bool:
        wanted = [("Secret", volume["secret"]["secretName"]) for volume in pod["spec"]["volumes"] if "secret" in volume]
        return all(key in self._api.cluster.objects for key in wanted)

    def _start(self, pod: Object) -> "subprocess.Popen[bytes]":
        (container,) = pod["spec"]["containers"]
        folder = self._folder / pod["metadata"]["name"]
        secrets = {
            volume["name"]: volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume
        }
        arguments = list(container["args"])
        for mount in container["volumeMounts"]:
            if mount["name"] in secrets:
                path = folder / mount["mountPath"].lstrip("/")
                path.parent.mkdir(parents=True)
                secret = self._api.cluster.objects["Secret", secrets[mount["name"]]]
                path.write_text(secret["stringData"][mount["subPath"]])
                arguments = [str(path) if argument == mount["mountPath"] else argument for argument in arguments]
        with (folder / "log").open("wb") as log:
            command = [*container["command"], *arguments]
            return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self._variables(pod)})

    def _variables(self, pod: Object) -> dict[str, str]:
        variables = variables_of(pod)
        if address := variables.get("MASTER_ADDR"):
            first = self._api.cluster.resolve(address)
            port = self._ports.setdefault(first, free_port())
            variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return variables


@contextmanager
def kubelet(api: SimulatedApi, folder: Path) -> Iterator[Kubelet]:
    """Runs a node until the end of the block."""
    node, stopping = Kubelet(api, folder), threading.Event()
    running = threading.Thread(target=node.run, args=(stopping,))
    running.start()
    try:
        yield node
    finally:
        stopping.set()
        running.join()
