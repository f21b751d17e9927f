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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from observe.suite import Observed, load, observed
from support.prometheus import HINT, Monitoring, find
from support.waiting import until_sync

PATIENCE_S = 120


def main() -> None:
    """Runs the suite and breaks it in each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factor", type=float, default=60.0, help="how many times faster than the rules say")
    arguments = parser.parse_args()
    missing = [program for program in ("prometheus", "alertmanager") if not find(program)]
    if missing:
        sys.exit(f"SKIPPED: {' and '.join(missing)} not installed; {HINT}")
    with (
        tempfile.TemporaryDirectory() as folder,
        observed(Path(folder) / "suite") as suite,
        Monitoring(Path(folder) / "monitoring", suite.targets, arguments.factor) as monitoring,
        load(suite),
    ):
        until_sync(lambda: _is_judged(monitoring), PATIENCE_S)
        print(f"{len(monitoring.rules())} rules load and are judged without an error")
        for name, break_it in EVENTS.items():
            break_it(suite, monitoring)
            print(f"{name}: fired and resolved", flush=True)


def _is_judged(monitoring: Monitoring) -> bool:
    rules = monitoring.rules()
    assert not [rule for rule in rules if rule["health"] == "err"], rules
    return bool(rules) and all(rule["health"] == "ok" for rule in rules)


def _fires(monitoring: Monitoring, alert: str, cause: Callable[[], object] = lambda: None) -> None:
    """Causes something again and again until Alertmanager tells of it."""

    def told() -> bool:
        cause()
        return (alert, "firing") in monitoring.receiver.heard

    until_sync(told, PATIENCE_S)


def _resolves(monitoring: Monitoring, alert: str) -> None:
    until_sync(lambda: (alert, "resolved") in monitoring.receiver.heard, PATIENCE_S)
    until_sync(lambda: alert not in monitoring.firing(), PATIENCE_S)


def _kill_triton(suite: Observed, monitoring: Monitoring) -> None:
    """Kills it whenever it is back, until somebody is told."""
    killed = set[int]()

    def kill() -> None:
        pid = suite.pid("triton")
        if pid and pid not in killed:
            killed.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    _fires(monitoring, "SymbiontTritonIsDown", kill)
    _resolves(monitoring, "SymbiontTritonIsDown")


EVENTS: dict[str, Callable[[Observed, Monitoring], None]] = {
    "SymbiontTritonIsDown": _kill_triton,
}

if __name__ == "__main__":
    main()
