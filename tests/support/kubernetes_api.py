"""An HTTP server that answers as a Kubernetes API server does: paths, Status objects, selectors, roles, deletions.

It keeps the objects that are posted, once they fit the schemas, in a `Cluster`, which plays their controllers.
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from jsonschema import ValidationError

from support.kubernetes_cluster import Cluster
from support.kubernetes_schemas import Object, validate

TOKEN = "a-token"
NAMESPACE = "symbiont"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:training"
PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
)
KINDS = {
    ("", "pods"): "Pod",
    ("", "secrets"): "Secret",
    ("", "services"): "Service",
    ("batch", "jobs"): "Job",
    ("jobset.x-k8s.io", "jobsets"): "JobSet",
    ("kubeflow.org", "pytorchjobs"): "PyTorchJob",
}


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None


@dataclass
class Answer:
    """An answer: a JSON document, or bytes."""

    status: int
    body: Object | bytes = field(default_factory=dict)


class SimulatedApi:
    """What the server knows; tests read `requests` and change the rest."""

    def __init__(self) -> None:
        self.address = ""
        self.cluster = Cluster()
        # Held while a request is answered: by whoever else changes the cluster at the same time, too.
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        # The operators whose kinds the server knows.
        self.operators = {"jobset.x-k8s.io", "kubeflow.org"}
        # The rules of the caller's Role; None lets everything pass.
        self.rules: Sequence[Object] | None = None
        # The verbs that were used, as (group, resource, verb).
        self.used: set[tuple[str, str, str]] = set()
        # Answers that part of the requests with this instead: (method and path, as a pattern) to answer.
        self.broken: dict[str, Answer] = {}

    def config(self, folder: Path, *, token: str = TOKEN, namespace: str = NAMESPACE) -> Path:
        """Writes a kubeconfig file that leads here."""
        named = {
            "clusters": [{"name": "test", "cluster": {"server": self.address}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "test", **named}))
        return path

    def answer(self, request: Request, token: str | None) -> Answer:
        """Answers a request."""
        self.requests.append(request)
        for pattern, broken in self.broken.items():
            if re.search(pattern, f"{request.method} {request.path}"):
                return broken
        if token != f"Bearer {TOKEN}":
            return status(401, "Unauthorized", "Unauthorized")
        found = PATH.fullmatch(request.path)
        group = (found["group"] or "") if found else ""
        if not found or ("." in group and group not in self.operators) or (group, found["plural"]) not in KINDS:
            return Answer(404, b"404 page not found\n")
        verb = verb_of(request, found)
        resource = "/".join(part for part in (found["plural"], found["sub"]) if part)
        if not self._allows(group, resource, verb):
            where = f'in API group "{group}" in the namespace "{found["namespace"]}"'
            said = f'User "{ACCOUNT}" cannot {verb} resource "{resource}" {where}'
            return status(403, "Forbidden", f"{resource}{'.' + group if group else ''} is forbidden: {said}")
        self.used.add((group, resource, verb))
        return self._serve(request, KINDS[group, found["plural"]], found, verb)

    def _allows(self, group: str, resource: str, verb: str) -> bool:
        if self.rules is None:
            return True
        return any(
            group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
            for rule in self.rules
        )

    def _serve(self, request: Request, kind: str, found: re.Match[str], verb: str) -> Answer:
        objects, name = self.cluster.objects, found["name"]
        if verb == "create":
            return self._create(request, found["namespace"], found["plural"])
        if verb in ("list", "deletecollection"):
            chosen = [o for o in self.cluster.kinds(kind) if matches(o, request.query.get("labelSelector", ""))]
            if verb == "list":
                return page(kind, chosen, request.query)
            assert request.query["gracePeriodSeconds"] == "0"
            for pod in chosen:
                self.cluster.kill(pod)
            return Answer(200, {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {}, "items": chosen})
        if (kind, name) not in objects:
            return missing(found)
        target = objects[kind, name]
        if found["sub"] == "log":
            return self._log(target, request.query)
        if verb == "delete":
            self.cluster.delete(target, request.query.get("propagationPolicy"))
        return Answer(200, target)

    def _create(self, request: Request, namespace: str, plural: str) -> Answer:
        document = request.body
        name = document["metadata"]["name"]
        if namespace != NAMESPACE:
            details = {"name": namespace, "kind": "namespaces"}
            return status(404, "NotFound", f'namespaces "{namespace}" not found', details)
        if (document["kind"], name) in self.cluster.objects:
            details = {"name": name, "kind": plural}
            return status(409, "AlreadyExists", f'{plural} "{name}" already exists', details)
        try:
            validate(document)
        except ValidationError as exc:
            where = ".".join(str(part) for part in exc.absolute_path)
            return status(422, "Invalid", f'{document["kind"]} "{name}" is invalid: {where}: {exc.message}')
        return Answer(201, self.cluster.add(document))

    def _log(self, pod: Object, query: dict[str, str]) -> Answer:
        name = pod["metadata"]["name"]
        assert query["container"] == pod["spec"]["containers"][0]["name"]
        if pod["status"]["phase"] == "Pending":
            said = f'container "{query["container"]}" in pod "{name}" is waiting to start: ContainerCreating'
            return status(400, "BadRequest", said)
        content = self.cluster.logs.get(name, b"")
        return Answer(200, content[: int(query["limitBytes"])] if "limitBytes" in query else content)


def verb_of(request: Request, found: re.Match[str]) -> str:
    """Returns the verb that a role must have."""
    single = {"GET": "get", "POST": "create", "DELETE": "delete"}
    many = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
    return (single if found["name"] else many)[request.method]


def matches(document: Object, selector: str) -> bool:
    """Whether the labels of an object are what a selector of equalities asks for."""
    labels = document["metadata"].get("labels", {})
    wanted = dict(part.split("=") for part in selector.split(",") if part)
    return wanted.items() <= labels.items()


def page(kind: str, chosen: list[Object], query: dict[str, str]) -> Answer:
    """Answers a list in pages of the size that was asked for."""
    begin, size = int(query.get("continue", 0)), int(query.get("limit", len(chosen) or 1))
    metadata = {"resourceVersion": "1"}
    if begin + size < len(chosen):
        metadata["continue"] = str(begin + size)
    return Answer(
        200, {"kind": f"{kind}List", "apiVersion": "v1", "metadata": metadata, "items": chosen[begin : begin + size]}
    )


def status(code: int, reason: str, message: str, details: Object | None = None) -> Answer:
    """Answers with a Status object, as the API server does for all that it does not do."""
    said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return Answer(code, {**said, "message": message, "reason": reason, "details": details or {}, "code": code})


def missing(found: re.Match[str]) -> Answer:
    """Says that there is no object of that name."""
    group, plural, name = found["group"] or "", found["plural"], found["name"]
    full = f"{plural}.{group}" if group else plural
    return status(404, "NotFound", f'{full} "{name}" not found', {"name": name, "group": group, "kind": plural})


@contextmanager
def simulated_api() -> Iterator[SimulatedApi]:
    """Serves on a free port of the loopback address."""
    api = SimulatedApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            request = Request(self.command, url.path, query, json.loads(body) if body else None)
            with api.lock:
                self._reply(api.answer(request, self.headers.get("Authorization")))

        do_POST = do_DELETE = do_GET

        def _reply(self, answer: Answer) -> None:
            is_json = isinstance(answer.body, dict)
            content = json.dumps(answer.body).encode() if is_json else answer.body
            assert isinstance(content, bytes)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json" if is_json else "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keeps quiet."""

    class Server(ThreadingHTTPServer):
        # Connections are kept open by the client.
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            """Keeps quiet: a client that was killed resets its connections."""

    with Server(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        api.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield api
        finally:
            server.shutdown()
            serving.join()
