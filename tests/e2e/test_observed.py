"""The suite of `up --alertmanager`: a real Prometheus scrapes it where it is, and a real Alertmanager is told."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from support.prometheus import HINT, RULES, find
from support.stacks import ForkingStack
from support.waiting import until_sync
from symbiont.local.home import Home
from symbiont.local.processes import find as find_process
from symbiont.local.services import ALERTMANAGER, NAMES, PROMETHEUS


def asked(url: str, **parameters: str) -> dict[str, object]:
    """What a part of the API of Prometheus answers."""
    data: dict[str, object] = httpx.get(url, params=parameters, trust_env=False).json()["data"]
    return data


def scraped(url: str) -> set[str]:
    """The parts that the last scrape reached."""
    found = asked(f"{url}/api/v1/query", query="up == 1")["result"]
    assert isinstance(found, list)
    return {one["metric"]["job"] for one in found}


@pytest.mark.skipif(not (find("prometheus") and find("alertmanager")), reason=f"not installed; {HINT}")
def test_observers_run_beside_the_suite_and_end_with_it(tmp_path: Path) -> None:
    with ForkingStack(Home(tmp_path / "home"), observers=(PROMETHEUS, ALERTMANAGER)) as stack:
        stack.wait_ready()
        url = stack.ports.url(PROMETHEUS)
        until_sync(lambda: scraped(url) == set(NAMES), 60)
        groups = asked(f"{url}/api/v1/rules")["groups"]
        assert isinstance(groups, list)
        assert {Path(group["file"]).name for group in groups} == {path.name for path in RULES}
        until_sync(lambda: bool(asked(f"{url}/api/v1/alertmanagers")["activeAlertmanagers"]), 30)
        before = stack.record.processes[PROMETHEUS]
        os.kill(before.pid, signal.SIGKILL)
        until_sync(lambda: stack.record.processes.get(PROMETHEUS) not in (None, before), 30)
        stack.wait_ready()
        until_sync(lambda: scraped(url) == set(NAMES), 60)
        processes = list(stack.record.processes.values())
    assert len(processes) == len(NAMES) + 2
    assert not any(map(find_process, processes))
