"""A suite is broken in several ways, and a real Prometheus tells a webhook of it through a real Alertmanager.

Run as `python -m observe.alerts` in `tests`. The windows and waiting times of the rules are divided by `--factor`, so
that an alert that means minutes is seen in seconds; nothing else of the rules is changed. That the true times do what
they should is what `promtool test rules` shows, in tests/manifests.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from observe.suite import ALIAS, Observed, load, observed
from support.alertmanager import Alertmanager, Heard, receiver
from support.prometheus import HINT, Prometheus, find
from support.waiting import until_sync
from symbiont.api.training.v1.model_pb2 import RELEASE_STATE_ROLLED_BACK, ReleaseRules
from symbiont.client import NotFoundError

PATIENCE_S = 150


@dataclass(frozen=True)
class Monitoring:
    """Who judges, who tells, and what was told."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    heard: Heard


def main() -> None:
    """Runs the suite and breaks it in each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factor", type=float, default=60.0, help="how many times faster than the rules say")
    arguments = parser.parse_args()
    missing = [program for program in ("prometheus", "alertmanager") if not find(program)]
    if missing:
        sys.exit(f"this needs {' and '.join(missing)}, not installed here; {HINT}")
    with (
        tempfile.TemporaryDirectory() as name,
        observed((folder := Path(name)) / "suite") as suite,
        receiver() as (webhook, heard),
        Alertmanager(folder / "alertmanager", webhook) as alertmanager,
        Prometheus(
            folder / "prometheus", suite.stack.record.metrics_urls, arguments.factor, alertmanager.address
        ) as prometheus,
        load(suite),
    ):
        monitoring = Monitoring(prometheus, alertmanager, heard)
        until_sync(lambda: _is_judged(monitoring), PATIENCE_S)
        print(f"{len(monitoring.prometheus.rules())} rules load and are judged without an error", flush=True)
        _is_quiet(monitoring)
        for name, break_it in EVENTS.items():
            began = time.monotonic()
            break_it(suite, monitoring)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        _is_judged(monitoring)


JOBS = ("inference", "tokenization", "training", "triton")
# So many seconds, which are as many minutes of the rules.
QUIET_S = 10


def _is_judged(monitoring: Monitoring) -> bool:
    rules = monitoring.prometheus.rules()
    assert not [rule for rule in rules if rule["health"] == "err"], rules
    return bool(rules) and all(rule["health"] == "ok" for rule in rules)


def _is_quiet(monitoring: Monitoring) -> None:
    """Nothing fires of a suite that is well, as soon as what came of its start is over: all is scraped, none waits."""

    def begun() -> bool:
        up = monitoring.prometheus.query_range("symbiont:up:max", 1, 1)
        waits = any(rule.get("state", "inactive") != "inactive" for rule in monitoring.prometheus.rules())
        return len(up) == len(JOBS) and not waits and not monitoring.alertmanager.firing()

    until_sync(begun, PATIENCE_S)
    quiet = time.monotonic()
    fired = set[str]()
    while not fired and time.monotonic() < quiet + QUIET_S:
        fired = monitoring.alertmanager.firing()
        time.sleep(0.2)
    assert not fired, f"of a suite that is well: {fired}; heard: {monitoring.heard}"


def _fires(monitoring: Monitoring, alerts: set[str], cause: Callable[[], object] = lambda: None) -> None:
    """Causes something again and again until the webhook has heard of each of the alerts."""

    def told() -> bool:
        cause()
        return alerts <= {name for name, status in monitoring.heard if status == "firing"}

    monitoring.heard.clear()
    try:
        until_sync(told, PATIENCE_S)
    except AssertionError as exc:
        raise AssertionError(f"{alerts} did not fire; heard: {monitoring.heard}") from exc
    print(f"  fired: {', '.join(sorted(alerts))}", flush=True)


def _resolves(monitoring: Monitoring, alerts: set[str]) -> None:
    """Waits until the webhook has heard that they are over, and Alertmanager has none of them."""

    def over() -> bool:
        heard = {name for name, status in monitoring.heard if status == "resolved"}
        return alerts <= heard and not alerts & monitoring.alertmanager.firing()

    try:
        until_sync(over, PATIENCE_S)
    except AssertionError as exc:
        raise AssertionError(f"{alerts} did not resolve; heard: {monitoring.heard}") from exc
    print(f"  resolved: {', '.join(sorted(alerts))}", flush=True)


def _kill_triton(suite: Observed, monitoring: Monitoring) -> None:
    """Kills it whenever it is back, until somebody is told."""
    killed = set[int]()

    def kill() -> None:
        pid = suite.pid("triton")
        if pid and pid not in killed:
            killed.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    alerts = {"SymbiontTritonIsDown"}
    _fires(monitoring, alerts, kill)

    def inhibits() -> bool:
        kill()
        return "SymbiontBudgetBurnsFast" in monitoring.alertmanager.inhibited()

    # That calls fail meanwhile is known, and not told beside it.
    until_sync(inhibits, PATIENCE_S)
    print("  inhibited: SymbiontBudgetBurnsFast", flush=True)
    _resolves(monitoring, alerts)


def _saturate_the_queue(suite: Observed, monitoring: Monitoring) -> None:
    """Asks for more than the hosts compute, with less time than that takes."""
    alerts = {"SymbiontQueueIsSaturated"}
    with load(suite, callers=24, texts=64, timeout=1.0, pause=0.0):
        _fires(monitoring, alerts)
    _resolves(monitoring, alerts)


def _release_a_worse_version(suite: Observed, monitoring: Monitoring) -> None:
    """Lets a version that learned every label the wrong way answer half of the calls."""
    rules = ReleaseRules(max_label_shift=0.3, min_samples=40)
    release = suite.client.create_release(ALIAS, suite.wrong, weight=50, rules=rules)
    alerts = {"SymbiontCandidateIsTakenBack"}
    _fires(monitoring, alerts)
    assert suite.client.get_release(release.name).state == RELEASE_STATE_ROLLED_BACK
    _resolves(monitoring, alerts)


def _shadow_a_worse_version(suite: Observed, monitoring: Monitoring) -> None:
    """Lets it compute the calls of others, for nobody to see."""
    release = suite.client.create_release(ALIAS, suite.wrong, shadow=True)

    def in_use() -> bool:
        with suppress(NotFoundError):
            return suite.client.get_release_observation(release.name).candidate_in_use
        return False

    until_sync(in_use, PATIENCE_S)
    alerts = {"SymbiontShadowDisagrees"}
    _fires(monitoring, alerts)
    suite.client.end_release(release.name, "seen enough")
    _resolves(monitoring, alerts)


EVENTS: dict[str, Callable[[Observed, Monitoring], None]] = {
    "Triton is killed": _kill_triton,
    "a queue is saturated": _saturate_the_queue,
    "a canary is worse": _release_a_worse_version,
    "a shadow is worse": _shadow_a_worse_version,
}

if __name__ == "__main__":
    main()
