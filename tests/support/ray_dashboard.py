"""An HTTP server that answers as a Ray cluster's dashboard does: the shapes were recorded from Ray 2.60.

It runs nothing: a test says how a job stands.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

NODE = "eda30bf19b47d490b0228c98dd0a57ab87b9de6bc7da10b4f8af98e3"
DUPLICATE = """Traceback (most recent call last):
  File "ray/dashboard/modules/job/job_head.py", line 419, in submit_job
    resp = await job_agent_client.submit_job_internal(submit_request)
RuntimeError: Request failed with status code 400: Traceback (most recent call last):
  File "ray/dashboard/modules/job/job_manager.py", line 553, in submit_job
    raise ValueError(
ValueError: Job with submission_id {id} already exists. Please use a different submission_id.
.
"""
# A program that connected to the cluster by itself: it is in the list of jobs.
DRIVER = {
    "type": "DRIVER",
    "job_id": "01000000",
    "submission_id": None,
    "driver_info": {"id": "01000000", "node_ip_address": "192.0.2.2", "pid": "4405"},
    "status": "RUNNING",
    "entrypoint": "python train.py",
    "metadata": {},
    "driver_node_id": None,
}


class RayDashboard:
    """What the server knows; `requests` are the bodies that were submitted."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.address = ""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, bytes] = {}
        self.requests: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        # Answers everything with this instead: status and body.
        self.broken: tuple[int, str] | None = None

    def set(self, submission: str, status: str, message: str = "", node: str | None = NODE) -> None:
        """Says how a job stands."""
        self.jobs[submission] |= {"status": status, "message": message, "driver_node_id": node}

    def submit(self, body: dict[str, Any]) -> tuple[int, str]:
        self.requests.append(body)
        name = body["submission_id"]
        if name in self.jobs:
            return 500, DUPLICATE.replace("{id}", name)
        self.jobs[name] = {
            "type": "SUBMISSION",
            "job_id": None,
            "submission_id": name,
            "driver_info": None,
            "status": "PENDING",
            "entrypoint": body["entrypoint"],
            "message": "Job has not started yet. It may be waiting for the runtime environment to be set up.",
            "error_type": None,
            "start_time": 1795864944784,
            "end_time": None,
            "metadata": body.get("metadata"),
            "runtime_env": body.get("runtime_env"),
            "driver_agent_http_address": None,
            "driver_node_id": None,
            "driver_exit_code": None,
        }
        return 200, json.dumps({"job_id": name, "submission_id": name})

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, str | bytes]:
        if self.broken:
            return self.broken
        url = urlsplit(target)
        if url.path == "/api/v0/logs/file":
            return self._log({name: values[0] for name, values in parse_qs(url.query).items()})
        name, _, action = url.path.removeprefix("/api/jobs/").partition("/")
        if not name:
            return (
                self.submit(json.loads(body)) if method == "POST" else (200, json.dumps([*self.jobs.values(), DRIVER]))
            )
        if name not in self.jobs:
            return 404, f"Job {name} does not exist"
        if action == "stop":
            self.stopped.append(name)
            return 200, json.dumps({"stopped": self.jobs[name]["status"] in ("PENDING", "RUNNING")})
        return 200, json.dumps(self.jobs[name])

    def _log(self, query: dict[str, str]) -> tuple[int, str | bytes]:
        if query["node_id"] != NODE:
            return 500, f"Agent for node id: {query['node_id']} doesn't exist."
        found = self.logs.get(query["filename"])
        return (500, f"A file is not found at: /tmp/ray/{query['filename']}") if found is None else (200, found)


@contextmanager
def ray_dashboard(token: str) -> Iterator[RayDashboard]:
    """Serves on a free port of the loopback address."""
    dashboard = RayDashboard(token)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(*self._answer())

        do_POST = do_GET

        def _answer(self) -> tuple[int, str | bytes]:
            given = self.headers.get("Authorization")
            if not given:
                return 401, "Unauthorized: Missing authentication token"
            if given != f"Bearer {dashboard.token}":
                return 403, "Forbidden: Invalid authentication token"
            return dashboard.answer(self.command, self.path, self.rfile.read(int(self.headers["Content-Length"] or 0)))

        def _reply(self, status: int, content: str | bytes) -> None:
            content = content.encode() if isinstance(content, str) else content
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        dashboard.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield dashboard
        finally:
            server.shutdown()
            serving.join()
