"""A real Prometheus that scrapes a running suite, asked over its HTTP API."""

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
from symbiont.local import ports

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy/prometheus/one-machine.yml"
BINARY = shutil.which("prometheus")
SCRAPE_SECONDS = 1


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and its values that are numbers, oldest first."""

    labels: Mapping[str, str]
    values: tuple[float, ...]


class Prometheus:
    """Runs inside `with`, on a free port. What it scrapes stands in the project's own file; only addresses differ."""

    def __init__(self, folder: Path, metrics_urls: Mapping[str, str]) -> None:
        """`metrics_urls` are those of the parts, as a home's record of its run has them."""
        self._folder = folder
        self._exit = ExitStack()
        self._targets = {name: urlsplit(url).netloc for name, url in metrics_urls.items()}

    def __enter__(self) -> Self:
        assert BINARY, "there is no prometheus on the path: apt-get install --no-install-recommends prometheus"
        self._folder.mkdir(parents=True, exist_ok=True)
        config = yaml.safe_load(CONFIG.read_text())
        config["global"] = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
        # Rules are judged where there are some; nobody is told.
        config["rule_files"] = [str(CONFIG.parent / path) for path in config.get("rule_files", ())]
        config.pop("alerting", None)
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [self._targets[job["job_name"]]]}]
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        # Held for as long as the server lives, should another suite look for a port before it listens.
        taken = self._exit.enter_context(ports.reserved({"prometheus": []}))
        self.url = f"http://{ports.HOST}:{taken['prometheus']}"
        command = [BINARY, f"--config.file={file}", f"--storage.tsdb.path={self._folder / 'data'}", "--log.level=warn"]
        command += [f"--web.listen-address={urlsplit(self.url).netloc}", "--web.cors.origin=.*"]
        log = self._exit.enter_context((self._folder / "prometheus.log").open("w"))
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._exit.callback(self._process.wait, 20)
        self._exit.callback(self._process.terminate)
        self._http = self._exit.enter_context(httpx.Client(base_url=self.url, trust_env=False, timeout=30))
        until_sync(self._ready, 30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._exit.close()

    def query_range(self, expr: str, seconds: int, step: int) -> list[Series]:
        """Returns the series of a query over the last `seconds`; raises AssertionError when it does not parse."""
        end = time.time()
        asked = {"query": expr, "start": end - seconds, "end": end, "step": step}
        found = self._get("/api/v1/query_range", asked)["result"]
        return [
            Series(one["metric"], tuple(v for _, text in one["values"] if isfinite(v := float(text)))) for one in found
        ]

    def label_values(self, metric: str, label: str) -> list[str]:
        """Returns the values that a label of a metric has had."""
        found: list[str] = self._get(f"/api/v1/label/{label}/values", {"match[]": metric})
        return found

    def _get(self, path: str, parameters: Mapping[str, Any]) -> Any:
        answer = self._http.get(path, params=parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            return self._http.get("/-/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False
