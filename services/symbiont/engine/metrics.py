"""Every metric of a host. Triton serves them among its own.

Labels are closed sets: `base`, the first 12 digits of its digest, and `process`, a number, 0 unless another process of
the same host still lives. Two processes must not share labels: when one ends, Triton destroys the metrics of both
(triton-inference-server/server, issue 8663). But one that was killed leaves its metrics behind, so that the next should
take them over, or they would be counted for ever.
"""

import fcntl
import os
import tempfile
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import IO, Literal, Protocol

from symbiont.engine.figures import HostFigures

Kind = Literal["gauge", "counter"]
_SHORT = 12

# Field of HostFigures -> name, kind, description.
METRICS: dict[str, tuple[str, Kind, str]] = {
    "bundles": ("symbiont_host_bundles", "gauge", "Bundles resident in the host."),
    "slots": ("symbiont_host_bundle_slots", "gauge", "Bundles that the host keeps at most."),
    "bundle_bytes": ("symbiont_host_bundle_bytes", "gauge", "Bytes of adapters and heads of the resident bundles."),
    "loads": ("symbiont_host_bundle_loads_total", "counter", "Bundles loaded."),
    "load_seconds": (
        "symbiont_host_bundle_load_seconds_total",
        "counter",
        "Time that loading bundles took, in seconds.",
    ),
    "failed_loads": ("symbiont_host_bundle_load_failures_total", "counter", "Bundles that could not be loaded."),
    "evictions": ("symbiont_host_bundle_evictions_total", "counter", "Bundles that made room for others."),
    "expired_rows": (
        "symbiont_host_expired_rows_total",
        "counter",
        "Rows whose time ran out before they were computed.",
    ),
}
PROCESS_BYTES = "symbiont_host_process_bytes"
LABELS = ("base", "process")


class Metric(Protocol):
    """One of Triton's custom metrics."""

    def set(self, value: float) -> None:
        """Sets a gauge."""
        ...

    def increment(self, value: float) -> None:
        """Adds to a counter."""
        ...


# Makes a metric of a name, a kind, a description and labels.
Make = Callable[[str, Kind, str, dict[str, str]], Metric]


class HostMetrics:
    """Hands Triton what changed. Each change is a message to Triton's process, so nothing is sent twice."""

    def __init__(self, make: Make, base_digest: str, read: Callable[[], HostFigures]) -> None:
        base = base_digest[:_SHORT]
        number, self._claim = claim(Path(tempfile.gettempdir()), base)
        labels = dict(zip(LABELS, (base, str(number)), strict=True))
        self._metrics = {name: make(*of, labels) for name, of in METRICS.items()}
        description = "Memory of the host's process: base, bundles, and what it computes with."
        self._memory = make(PROCESS_BYTES, "gauge", description, labels)
        self._read = read
        self._sent = HostFigures()
        self._lock = threading.Lock()
        self._memory.set(resident_bytes())
        for name, (_, kind, _) in METRICS.items():
            if kind == "gauge":
                # A killed process may have left another value.
                self._metrics[name].set(0)
        self.update()

    def update(self) -> None:
        """Sends what changed since the last time; any thread may call it."""
        with self._lock:
            now, sent = self._read(), self._sent
            if now == sent:
                return
            self._sent = now
            for name, (_, kind, _) in METRICS.items():
                value = getattr(now, name)
                change = value - getattr(sent, name)
                if change and kind == "gauge":
                    self._metrics[name].set(value)
                elif change:
                    self._metrics[name].increment(change)
            if (now.bundles, now.loads) != (sent.bundles, sent.loads):
                self._memory.set(resident_bytes())

    def close(self) -> None:
        """Lets go of Triton's objects, which must not outlive the backend (issue 8662 there)."""
        with self._lock:
            self._metrics.clear()
            del self._memory
            self._sent = self._read()
            self._read = lambda: self._sent
            self._claim.close()


def claim(folder: Path, base: str) -> tuple[int, IO[str]]:
    """Returns the smallest number that no living process of a host has, and the locked file that holds it.

    The lock goes with the process, however that ends.
    """
    for number in count():
        file = (folder / f"symbiont-host-{base}-{number}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        return number, file
    raise AssertionError


def resident_bytes() -> int:
    """Returns how much memory this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
