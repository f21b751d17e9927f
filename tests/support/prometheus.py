"""A real Prometheus that scrapes a running suite and judges its rules, asked over its HTTP API."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import yaml

from support.waiting import until_sync
from symbiont.local import observers, ports

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy/prometheus"
CONFIG = DEPLOY / "one-machine.yml"
RULES = sorted((DEPLOY / "rules").glob("*.yml"))
PROGRAMS = observers.PROGRAMS | {"promtool": ("promtool",)}
HINT = "on Debian and Ubuntu: apt install --no-install-recommends prometheus prometheus-alertmanager"
# As often as things happen in a test.
PACE = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST_S = 5


def find(program: str) -> str | None:
    """Returns the path of one of `PROGRAMS`; None where it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS[program])), None)


def faster(rules: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Returns rules whose windows and waiting times are divided by a factor; a window keeps five seconds at least."""
    copy: dict[str, Any] = json.loads(json.dumps(rules))
    for rule in (rule for group in copy["groups"] for rule in group["rules"]):
        rule["expr"] = re.sub(
            r"\[(\d+)([smhd])(:?)\]", lambda found: f"[{_divided(found, factor)}s{found[3]}]", rule["expr"]
        )
        for wait in ("for", "keep_firing_for"):
            if wait in rule:
                rule[wait] = re.sub(r"(\d+)([smhd])", lambda found: f"{_divided(found, factor, 1)}s", rule[wait])
    return copy


def _divided(found: re.Match[str], factor: float, least: int = _SHORTEST_S) -> int:
    return max(round(int(found[1]) * _UNITS[found[2]] / factor), least)


class Server:
    """A server of the Prometheus project: runs inside `with`, on a free port of the loopback address.

    Args:
        program: one of `PROGRAMS`.
        folder: for its configuration, data and log.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder
        self._program = program
        self._exit = ExitStack()
        # Held for as long as the server lives, should another suite look for a port before it listens.
        self.address = f"{ports.HOST}:{self._exit.enter_context(ports.reserved({program: []}))[program]}"
        self.url = f"http://{self.address}"

    def __enter__(self) -> Self:
        with self._exit as stack:
            path = find(self._program)
            assert path, f"{self._program} is not installed; {HINT}"
            self.folder.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(self._log.open("wb"))
            command = [path, *self.arguments(), f"--web.listen-address={self.address}"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(self._process.wait, 30)
            stack.callback(self._process.terminate)
            self.http = stack.enter_context(httpx.Client(base_url=self.url, trust_env=False, timeout=60))
            until_sync(self._ready, 30)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._exit.close()

    def arguments(self) -> list[str]:
        """Writes what the server reads, and returns how it is started."""
        raise NotImplementedError

    def write(self, name: str, document: object) -> Path:
        """Writes a file of its configuration."""
        file = self.folder / name
        file.write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
        return file

    @property
    def _log(self) -> Path:
        return self.folder / f"{self._program}.log"

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.http.get("/-/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and its values that are numbers, oldest first."""

    labels: Mapping[str, str]
    values: tuple[float, ...]


class Prometheus(Server):
    """What it scrapes and judges stands in the project's own files; only addresses and times differ.

    Args:
        folder: for configuration, data and log.
        metrics_urls: those of the parts, as a home's record of its run has them.
        factor: how many times shorter the windows and waiting times of the rules are than in `deploy/`.
        alertmanager: its host:port; without one nobody is told of alerts.
    """

    def __init__(
        self, folder: Path, metrics_urls: Mapping[str, str], factor: float = 1, alertmanager: str = ""
    ) -> None:
        super().__init__("prometheus", folder)
        self._targets = {name: urlsplit(url).netloc for name, url in metrics_urls.items()}
        self._factor = factor
        self._alertmanager = alertmanager

    def arguments(self) -> list[str]:
        """See `Server`."""
        rules = [
            self.write(f"rules-{path.name}", faster(yaml.safe_load(path.read_text()), self._factor)) for path in RULES
        ]
        config = yaml.safe_load(CONFIG.read_text()) | {"global": PACE, "rule_files": list(map(str, rules))}
        told = [{"static_configs": [{"targets": [self._alertmanager]}]}] if self._alertmanager else []
        config["alerting"] = {"alertmanagers": told}
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [self._targets[job["job_name"]]]}]
        return [
            f"--config.file={self.write('prometheus.yml', config)}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--web.cors.origin=.*",
            "--enable-feature=exemplar-storage",
            "--rules.alert.resend-delay=1s",
            "--log.level=warn",
        ]

    def query_range(self, expr: str, seconds: int, step: int) -> list[Series]:
        """Returns the series of a query over the last `seconds`; raises AssertionError when it does not parse."""
        end = time.time()
        asked = {"query": expr, "start": end - seconds, "end": end, "step": step}
        found = self._get("query_range", asked)["result"]
        return [
            Series(one["metric"], tuple(v for _, text in one["values"] if isfinite(v := float(text)))) for one in found
        ]

    def label_values(self, metric: str, label: str) -> list[str]:
        """Returns the values that a label of a metric has had."""
        found: list[str] = self._get(f"label/{label}/values", {"match[]": metric})
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Returns every rule as Prometheus has it, its health and its last error with it."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        answer = self.http.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]
