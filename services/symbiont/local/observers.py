"""Prometheus and Alertmanager beside the suite of one machine: which programs, what they scrape, judge and tell."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from symbiont.common.errors import FailedPrecondition
from symbiont.local.child import ProcessSpec
from symbiont.local.home import Home
from symbiont.local.services import ALERTMANAGER, PROMETHEUS, Ports, http_ready

# The project's own names, and Debian's.
PROGRAMS = {PROMETHEUS: ("prometheus",), ALERTMANAGER: ("alertmanager", "prometheus-alertmanager")}
REMEDY = (
    "install it so that it is on the PATH (on Debian and Ubuntu: apt install --no-install-recommends prometheus "
    "prometheus-alertmanager; elsewhere: https://prometheus.io/download)"
)
# In a checkout a link to deploy/prometheus, in an installed package a copy of it.
_OWN = Path(__file__).parent / "prometheus"
# A month is billed in the next one.
RETENTION = "62d"
PACE = {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "15s"}


def find(name: str) -> str:
    """Returns the path of a program.

    Raises:
        FailedPrecondition: it is not installed; the message says how to get it.
    """
    path = next(filter(None, map(shutil.which, PROGRAMS[name])), None)
    if path is None:
        raise FailedPrecondition(f"there is no {' or '.join(PROGRAMS[name])} on the PATH: {REMEDY}")
    return path


def observer_specs(home: Home, ports: Ports, names: Sequence[str]) -> list[ProcessSpec]:
    """Returns what to run beside the suite, of `PROGRAMS`; raises as `find` does."""
    return [_spec(name, find(name), home, ports) for name in names]


def scraping(metrics_urls: Mapping[str, str], alertmanager: str = "", own: Path | None = None) -> dict[str, Any]:
    """Returns a configuration of Prometheus with the project's rules.

    Args:
        metrics_urls: where each part serves its metrics; its name becomes the job.
        alertmanager: `host:port` of who is told of alerts; nobody where it is empty.
        own: folder where the user puts `rules/*.yml` and `targets/*.json`, as those of solutions.
    """
    mine = [{"job_name": "own", "file_sd_configs": [{"files": [str(own / "targets/*.json")]}]}] if own else []
    told = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    return {
        "global": PACE,
        "rule_files": [
            *(str(path) for path in sorted((_OWN / "rules").glob("*.yml"))),
            *([str(own / "rules/*.yml")] if own else []),
        ],
        "alerting": {"alertmanagers": told},
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [urlsplit(url).netloc]}]}
            for name, url in metrics_urls.items()
        ]
        + mine,
    }


def _spec(name: str, program: str, home: Home, ports: Ports) -> ProcessSpec:
    folder, prepare = home.root / name, {PROMETHEUS: _prometheus, ALERTMANAGER: _alertmanager}[name]

    def command() -> tuple[Sequence[str], Mapping[str, str]]:
        folder.mkdir(parents=True, exist_ok=True)
        return [program, *prepare(folder, ports), f"--web.listen-address={ports.address(name)}"], os.environ

    ready = partial(http_ready, f"{ports.url(name)}/-/ready")
    return ProcessSpec(name=name, command=command, log=home.logs / f"{name}.log", ready=ready)


def _prometheus(folder: Path, ports: Ports) -> list[str]:
    told = ports.address(ALERTMANAGER) if ALERTMANAGER in ports.of else ""
    for name in ("rules", "targets"):
        (folder / name).mkdir(exist_ok=True)
    # JSON is YAML, which is what Prometheus reads.
    (folder / "prometheus.yml").write_text(json.dumps(scraping(ports.metrics_urls, told, folder), indent=2))
    return [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]


def _alertmanager(folder: Path, ports: Ports) -> list[str]:
    config = folder / "alertmanager.yml"
    # Once: who is told is the user's to write there.
    if not config.exists():
        shutil.copyfile(_OWN / "alertmanager.yml", config)
    return [f"--config.file={config}", f"--storage.path={folder / 'data'}", "--cluster.listen-address="]
