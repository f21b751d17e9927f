"""What the `kubernetes` executor asks of an API server: by the official client, with its errors as ours.

Objects come and go as plain JSON, so that one call serves Jobs and the kinds of operators alike.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from symbiont.training.executors.kubernetes_connection import Client, configure
from symbiont.training.executors.kubernetes_errors import refused, says, unreachable
from symbiont.training.executors.kubernetes_kinds import Kind, Object

# Seconds: to connect, and of silence.
TIMEOUT = (5, 30)
PIECE = 1 << 16
# Of a list in one answer.
PAGE = 500
# Answers that are no error where they are expected: status and reason.
TAKEN, MISSING, NOT_STARTED = (409, "AlreadyExists"), (404, "NotFound"), (400, "BadRequest")


class KubernetesApi:
    """One namespace of one cluster. May be used from several threads."""

    def __init__(self, config: Path | None = None, context: str = "", namespace: str = "") -> None:
        """Reads where the API server is and how to be let in; nothing is called yet.

        Args:
            config: kubeconfig file. Without one: the service account of this pod, or else what kubectl would take.
            context: of the file; empty: the current one.
            namespace: of the workers; empty: this pod's, or the context's.

        Raises:
            FailedPrecondition: the client is not installed, or nothing says where a cluster is.
        """
        self._client = Client()
        configuration, default = configure(self._client, config, context)
        # The controller repeats what did not go through, and would otherwise wait here meanwhile.
        configuration.retries = False
        self.namespace = namespace or default
        self.address: str = configuration.host
        self._connection = self._client.client.ApiClient(configuration)
        self._objects = self._client.client.CustomObjectsApi(self._connection)
        self._core = self._client.client.CoreV1Api(self._connection)

    def close(self) -> None:
        """Closes the connections."""
        self._connection.close()

    def create(self, kind: Kind, workload: Object) -> Object | None:
        """Creates an object and returns it as it became; None where the name is taken."""
        created: Object | None = None
        with self._translated(f"create {kind.plural}", TAKEN):
            created = self._objects.create_namespaced_custom_object(
                *self._place(kind), body=dict(workload), _request_timeout=TIMEOUT
            )
        return created

    def create_companion(self, companion: Object) -> None:
        """Creates a Secret or a Service; one that is there already stays."""
        calls = {"Secret": self._core.create_namespaced_secret, "Service": self._core.create_namespaced_service}
        with self._translated(f"create {companion['kind'].lower()}s", TAKEN):
            create = calls[companion["kind"]]
            create(self.namespace, dict(companion), _request_timeout=TIMEOUT, _preload_content=False)

    def find(self, kind: Kind, name: str) -> Object | None:
        """Returns an object; None where there is none of that name."""
        found: Object | None = None
        with self._translated(f"get {kind.plural}", MISSING, name=name):
            found = self._objects.get_namespaced_custom_object(*self._place(kind), name, _request_timeout=TIMEOUT)
        return found

    def find_all(self, kind: Kind, selector: str) -> list[Object]:
        """Returns the objects with certain labels."""
        found: list[Object] = []
        page: dict[str, Any] = {}
        with self._translated(f"list {kind.plural}"):
            while True:
                answer = self._objects.list_namespaced_custom_object(
                    *self._place(kind), label_selector=selector, limit=PAGE, _request_timeout=TIMEOUT, **page
                )
                found += answer["items"]
                page = {"_continue": answer["metadata"].get("continue")}
                if not page["_continue"]:
                    break
        return found

    def delete(self, kind: Kind, name: str) -> None:
        """Deletes an object, after its pods have had SIGTERM and their grace; one that is gone is no error."""
        with self._translated(f"delete {kind.plural}", MISSING, name=name):
            # Not the default, by which a Job goes at once and leaves its pods running.
            self._objects.delete_namespaced_custom_object(
                *self._place(kind), name, propagation_policy="Foreground", _request_timeout=TIMEOUT
            )

    def kill_pods(self, selector: str) -> None:
        """Deletes the pods with certain labels, without grace."""
        with self._translated("deletecollection pods"):
            self._core.delete_collection_namespaced_pod(
                self.namespace,
                label_selector=selector,
                grace_period_seconds=0,
                _request_timeout=TIMEOUT,
                _preload_content=False,
            )

    def pods(self, selector: str) -> list[Object]:
        """Returns the pods with certain labels."""
        with self._translated("list pods"):
            answer = self._core.list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=TIMEOUT, _preload_content=False
            )
            pods: list[Object] = json.loads(answer.data)["items"]
            return pods

    @contextmanager
    def log(self, pod: str, container: str, limit: int | None) -> Iterator[Iterator[bytes]]:
        """Opens what a container has printed, in pieces, at most `limit` bytes; empty where it has yet to start."""
        limits = {} if limit is None else {"limit_bytes": limit}
        answer = None
        with self._translated("get pods/log", MISSING, NOT_STARTED):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=container, _request_timeout=TIMEOUT, _preload_content=False, **limits
            )
        if answer is None:
            yield iter(())
            return
        with self._translated("get pods/log"):
            try:
                yield answer.stream(PIECE)
            finally:
                # What was not read would be in the way of the next call.
                answer.close()

    def _place(self, kind: Kind) -> tuple[str, str, str, str]:
        return kind.group, kind.version, self.namespace, kind.plural

    @contextmanager
    def _translated(self, doing: str, *expected: tuple[int, str], name: str = "") -> Iterator[None]:
        """Turns the client's errors into ours, but for answers that were to be expected: those end the block."""
        try:
            yield
        except self._client.client.ApiException as exc:
            if any(says(exc, status, reason, name) for status, reason in expected):
                return
            # No status: TLS failed.
            if not exc.status:
                raise unreachable(self.address, str(exc.reason)) from exc
            raise refused(exc, self.address, self.namespace, doing) from exc
        except (self._client.http_errors, self._client.config.ConfigException, OSError) as exc:
            raise unreachable(self.address, str(exc) or type(exc).__name__) from exc
