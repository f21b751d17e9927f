"""`python bare_service.py SERVICE WHAT`: runs a service without its metrics, or without the code of its traces.

So that a benchmark can say what they cost, which no setting takes away.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from opentelemetry.trace import INVALID_SPAN
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from symbiont.common import tracing


def without_metrics() -> None:
    """Makes every metric a thing that does nothing."""
    MetricWrapperBase.labels = lambda self, *values, **named: self  # type: ignore[assignment, return-value]
    names = {Counter: ["inc"], Histogram: ["observe"], Gauge: ["inc", "dec", "set", "set_function"]}
    for kind, methods in names.items():
        for method in methods:
            setattr(kind, method, lambda self, *values: None)


def without_traces() -> None:
    """Takes the code of traces away, as if it had never been written."""
    nothing = nullcontext(INVALID_SPAN)

    @contextmanager
    def together(*anything: object) -> Iterator[None]:
        yield

    tracing.Tracing.served = lambda *anything: INVALID_SPAN  # type: ignore[assignment]
    for name, stand_in in {
        "span": lambda *anything: nothing,
        "together": together,
        "kept": lambda: None,
        "waited": lambda *anything: None,
        "outgoing": dict,
        "outgoing_if_kept": dict,
        "note_status": lambda *anything: None,
    }.items():
        # Before anybody has imported it by name.
        setattr(tracing, name, stand_in)


if __name__ == "__main__":
    service, what = sys.argv.pop(1), sys.argv.pop(1)
    {"metrics": without_metrics, "traces": without_traces}[what]()
    importlib.import_module(f"symbiont.{service}.__main__").main()
