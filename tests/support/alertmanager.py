"""A real Alertmanager, and who it tells of alerts."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from support.prometheus import DEPLOY, Server

# The name and status of each alert that somebody was told of, in order.
Heard = list[tuple[str, str]]


@contextmanager
def receiver() -> Iterator[tuple[str, Heard]]:
    """Runs a webhook; yields its URL, and what it is told."""
    heard: Heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.extend((alert["labels"]["alertname"], alert["status"]) for alert in told["alerts"])
            self.send_response(200)
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", heard
        finally:
            server.shutdown()


class Alertmanager(Server):
    """Groups and holds back as `deploy/` says, but waits for seconds only; tells one webhook, whoever is named there.

    Args:
        folder: for configuration, data and log.
        webhook: the URL that is told.
    """

    def __init__(self, folder: Path, webhook: str) -> None:
        super().__init__("alertmanager", folder)
        self._webhook = webhook

    def arguments(self) -> list[str]:
        """See `Server`."""
        config = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())
        for one in config["receivers"]:
            one["webhook_configs"] = [{"url": self._webhook, "send_resolved": True}]
        config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        return [
            f"--config.file={self.write('alertmanager.yml', config)}",
            f"--storage.path={self.folder / 'data'}",
            "--cluster.listen-address=",
        ]

    def firing(self) -> set[str]:
        """Returns the names of the alerts that it has and that are not over."""
        return {alert["labels"]["alertname"] for alert in self._alerts()}

    def inhibited(self) -> set[str]:
        """Returns those of them that nobody is told of, because another one says it."""
        return {alert["labels"]["alertname"] for alert in self._alerts() if alert["status"]["inhibitedBy"]}

    def _alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/api/v2/alerts", params={"active": True, "inhibited": True}).json()
        return found
