"""Workers as Jobs on Kubernetes, which gives machines and nothing else: retries are the controller's.

Objects are found by name and label, so that what the API server knows is all there is to know.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.training.executors import Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.executors.kubernetes_api import KubernetesApi
from symbiont.training.executors.kubernetes_kinds import JOB, Kind, Object
from symbiont.training.executors.kubernetes_pod import CONTAINER, PodSettings
from symbiont.training.executors.manifests import (
    INDEX,
    PYTORCH,
    companions,
    object_name,
    selector,
    worker_of,
    workload,
)
from symbiont.training.executors.ray import cut


class KubernetesExecutor:
    """Runs workers in one namespace of one cluster.

    Its pods reach the artifact store and the services at the addresses that the specs name.
    """

    def __init__(self, api: KubernetesApi, settings: PodSettings, gang: Kind = JOB) -> None:
        """Sets up calls; nothing is called yet.

        Args:
            api: the cluster and the namespace.
            settings: what all pods have in common.
            gang: what several ranks are. One rank is always a Job.
        """
        self._api = api
        self._settings = settings
        self._gang = gang
        self._kinds: Sequence[Kind] = (JOB,) if gang is JOB else (JOB, gang)
        # Of these it is known that they were there: what is no longer found has gone, and will not yet come.
        self._seen: set[WorkerName] = set()

    def close(self) -> None:
        """Closes the connections; workers go on."""
        self._api.close()

    def launch(self, launch: Launch) -> None:
        """Creates the objects of an attempt, whose pods then wait until the cluster has room for them."""
        kind = self._gang if launch.ranks > 1 else JOB
        made = workload(kind, launch, self._settings)
        # What the Secret and the Service belong to comes first: an attempt is launched when its name is taken.
        owner = self._api.create(kind, made) or self._api.find(kind, made["metadata"]["name"])
        self._seen.add(launch.name)
        if owner is None or kind.status(owner) is WorkerStatus.EXITED:
            return
        try:
            for companion in companions(kind, launch, self._settings, owner["metadata"]["uid"]):
                self._api.create_companion(companion)
        except Unavailable:
            # It is launched again, and then they are made.
            raise
        except SymbiontError:
            self._api.delete(kind, made["metadata"]["name"])
            raise

    def probe(self, name: WorkerName) -> WorkerStatus:
        """Asks the API server. Pods that wait for room are UNKNOWN: they may come."""
        kind, found = self._find(name)
        if found is None:
            return WorkerStatus.EXITED if name in self._seen else WorkerStatus.UNKNOWN
        self._seen.add(name)
        return kind.status(found)

    def signal(self, name: WorkerName, signal: WorkerSignal) -> None:
        """Deletes the object, upon which each pod gets SIGTERM and its grace; for KILL the pods, too, without grace.

        What has ended by itself stays, and its log with it.
        """
        kind, found = self._find(name)
        if found is not None:
            if kind.status(found) is WorkerStatus.EXITED:
                return
            # First, or whoever made the pods would make them anew.
            self._api.delete(kind, found["metadata"]["name"])
        if signal is WorkerSignal.KILL:
            self._api.kill_pods(selector(self._settings.suite, name))

    def adopt(self, name: WorkerName) -> WorkerStatus:
        """Asks the API server, which forgets nothing: what it does not have is not there."""
        kind, found = self._find(name)
        if found is None:
            return WorkerStatus.EXITED
        self._seen.add(name)
        return kind.status(found)

    def list(self) -> list[WorkerName]:
        """Returns the workers of this suite that run, wait for room, or are about to end."""
        everyone = selector(self._settings.suite)
        return [
            worker_of(found)
            for kind in self._kinds
            for found in self._api.find_all(kind, everyone)
            if kind.status(found) is not WorkerStatus.EXITED
        ]

    def where(self, name: WorkerName) -> str:
        """Returns the command that prints the output of all ranks while their pods are there."""
        pods = selector(self._settings.suite, name)
        return f"kubectl --namespace {self._api.namespace} logs --selector {pods} --all-containers --prefix --tail=-1"

    def read_log(self, name: WorkerName, offset: int, limit: int) -> bytes:
        """Reads the log of rank 0, and after it how the container ended where it did not end well."""
        pod = self._first_pod(name)
        if pod is None:
            return b""
        containers = pod["spec"]["containers"]
        container = next(c["name"] for c in containers if c["name"] in (CONTAINER, PYTORCH))
        # The API cannot skip what was read; it can leave out what will not be.
        enough = offset + limit if offset >= 0 else None
        with self._api.log(pod["metadata"]["name"], container, enough) as pieces:
            return cut(chain(pieces, _last_words(pod, container)), offset, limit)

    def _find(self, name: WorkerName) -> tuple[Kind, Object | None]:
        wanted = object_name(self._settings.suite, name)
        for kind in self._kinds:
            if found := self._api.find(kind, wanted):
                return kind, found
        return JOB, None

    def _first_pod(self, name: WorkerName) -> Object | None:
        pods = [pod for pod in self._api.pods(selector(self._settings.suite, name)) if _is_first(pod)]
        return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def _is_first(pod: Object) -> bool:
    metadata = pod["metadata"]
    is_master = metadata["labels"].get("training.kubeflow.org/replica-type") == "master"
    return is_master or (metadata.get("annotations") or {}).get(INDEX) == "0"


def _last_words(pod: Object, container: str) -> Iterator[bytes]:
    """Yields what only Kubernetes knows of the end of a container: that it was out of memory, or its pod evicted."""
    status = pod.get("status") or {}
    for found in status.get("containerStatuses") or ():
        ended = (found.get("state") or {}).get("terminated")
        if found["name"] == container and ended and ended["exitCode"]:
            yield f"[kubernetes] ended with status {ended['exitCode']}: {ended.get('reason', 'Error')}\n".encode()
    if status.get("phase") == "Failed" and status.get("reason"):
        yield f"[kubernetes] {status['reason']}: {status.get('message', '')}\n".encode()
