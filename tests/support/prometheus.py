"""A real Prometheus and a real Alertmanager on free ports of the loopback address, and who they tell of alerts."""

import json
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from typing_extensions import override

from support.service import free_port
from support.waiting import until_sync

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy/prometheus"
RULES = sorted((DEPLOY / "rules").glob("*.yml"))
# Debian's names and the projects' own.
PROGRAMS = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "promtool": ("promtool",),
}
HINT = "on Debian and Ubuntu: apt install --no-install-recommends prometheus prometheus-alertmanager"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST_S = 5


def find(program: str) -> str | None:
    """Returns the path of one of `PROGRAMS`; None where it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS[program])), None)


def faster(rules: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Returns rules whose windows and waiting times are divided by a factor; a window keeps five seconds at least."""
    copy: dict[str, Any] = json.loads(json.dumps(rules))
    for rule in (rule for group in copy["groups"] for rule in group["rules"]):
        rule["expr"] = re.sub(r"\[(\d+)([smhd])\]", lambda found: f"[{_divided(found, factor)}s]", rule["expr"])
        for wait in ("for", "keep_firing_for"):
            if wait in rule:
                rule[wait] = re.sub(r"(\d+)([smhd])", lambda found: f"{_divided(found, factor, 1)}s", rule[wait])
    return copy


def _divided(found: re.Match[str], factor: float, least: int = _SHORTEST_S) -> int:
    return max(round(int(found[1]) * _UNITS[found[2]] / factor), least)


class Receiver:
    """A webhook that keeps what Alertmanager tells it: the name and status of each alert, in order."""

    def __init__(self) -> None:
        heard: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.extend((alert["labels"]["alertname"], alert["status"]) for alert in told["alerts"])
                self.send_response(200)
                self.end_headers()

            @override
            def log_message(self, format: str, *args: object) -> None:
                pass

        self.heard = heard
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


class Monitoring:
    """Prometheus, which scrapes targets and judges the rules of `deploy/`, and Alertmanager, which tells `receiver`.

    Args:
        folder: for configuration, data and logs.
        targets: the address that serves the metrics of each job.
        factor: how many times shorter the windows and waiting times of the rules are than in `deploy/`.
    """

    def __init__(self, folder: Path, targets: Mapping[str, str], factor: float = 1) -> None:
        self.receiver = Receiver()
        self._folder = folder
        self._targets = targets
        self._factor = factor
        self._exit = ExitStack()
        self._exit.callback(self.receiver.close)
        self.url, self.alertmanager_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))

    def __enter__(self) -> Self:
        with self._exit as stack:
            self._start_alertmanager(stack)
            self._start_prometheus(stack)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._exit.close()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Returns what an expression comes to now."""
        found = _get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Returns every rule as Prometheus has it, its health and its last error with it."""
        groups = _get(f"{self.url}/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def firing(self) -> set[str]:
        """Returns the names of the alerts that Alertmanager has and that are not over."""
        alerts = _get(f"{self.alertmanager_url}/api/v2/alerts?active=true&inhibited=true")
        return {alert["labels"]["alertname"] for alert in alerts}

    def inhibited(self) -> set[str]:
        """Returns those of them that nobody is told of, because another one says it."""
        alerts = _get(f"{self.alertmanager_url}/api/v2/alerts?active=true&inhibited=true")
        return {alert["labels"]["alertname"] for alert in alerts if alert["status"]["inhibitedBy"]}

    def _start_alertmanager(self, stack: ExitStack) -> None:
        config = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())
        for receiver in config["receivers"]:
            receiver["webhook_configs"] = [{"url": self.receiver.url, "send_resolved": True}]
        config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        file = self._write("alertmanager.yml", config)
        listen = self.alertmanager_url.removeprefix("http://")
        self._run(
            stack,
            "alertmanager",
            f"--config.file={file}",
            f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address={listen}",
            "--cluster.listen-address=",
        )
        self._wait(f"{self.alertmanager_url}/-/ready", "alertmanager")

    def _start_prometheus(self, stack: ExitStack) -> None:
        rules = [
            str(self._write(f"rules-{path.name}", faster(yaml.safe_load(path.read_text()), self._factor)))
            for path in RULES
        ]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": rules,
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [self.alertmanager_url.removeprefix("http://")]}]},
                ]
            },
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in self._targets.items()
            ],
        }
        self._run(
            stack,
            "prometheus",
            f"--config.file={self._write('prometheus.yml', config)}",
            f"--storage.tsdb.path={self._folder / 'prometheus'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
            "--rules.alert.resend-delay=1s",
            "--log.level=warn",
        )
        self._wait(f"{self.url}/-/ready", "prometheus")

    def _write(self, name: str, document: object) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / name
        file.write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
        return file

    def _run(self, stack: ExitStack, program: str, *arguments: str) -> None:
        path = find(program)
        assert path, f"{program} is not installed; {HINT}"
        log = stack.enter_context((self._folder / f"{program}.log").open("ab"))
        process = subprocess.Popen([path, *arguments], stdout=log, stderr=log)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)

    def _wait(self, url: str, program: str) -> None:
        try:
            until_sync(lambda: _answers(url), 30)
        except AssertionError as exc:
            raise AssertionError((self._folder / f"{program}.log").read_text()) from exc


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
