"""Metrics that every service has. What one service alone counts stands in its own `metrics.py`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from threading import Thread
from types import TracebackType
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from symbiont.common.errors import SymbiontError
from symbiont.common.security.web import WebTls
from symbiont.common.settings import split_address

# From a tenth of a millisecond (a cached answer) to a minute (an upload).
SECONDS_BUCKETS = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class ServiceMetrics:
    """The registry of one process, and the metrics of its RPCs.

    Labels are closed sets: `service` is the package's name, `rpc` a method of its protos, or, of one whose streams
    carry requests of their own, `{method}.request`; `code` is a gRPC status code.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._server: WSGIServer | None = None
        self._thread: Thread | None = None
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        Info("symbiont_build", "What runs here.", registry=self.registry).info(
            {"version": version("symbiont"), "service": service}
        )
        self.rpc_started = Counter(
            "symbiont_rpc_started", "RPCs that have begun.", ["service", "rpc"], registry=self.registry
        )
        self.rpc_seconds = Histogram(
            "symbiont_rpc_seconds",
            "Time from the first byte of an RPC to its status, in seconds.",
            ["service", "rpc", "code"],
            registry=self.registry,
            buckets=SECONDS_BUCKETS,
        )
        self.rpc_in_flight = Gauge(
            "symbiont_rpc_in_flight", "RPCs that have begun and not ended.", ["service", "rpc"], registry=self.registry
        )

        # Where there is none there is no sample: 0 would be long ago.
        self.certificate_not_after = Gauge(
            "symbiont_certificate_not_after_timestamp_seconds",
            "When the certificate that this process shows ends, in seconds since 1970.",
            ["service"],
            registry=self.registry,
        )

    def serve(self, address: str, tls: WebTls | None = None) -> int:
        """Serves the registry over HTTP, or with `tls` over HTTPS, from a thread; returns the port."""
        host, port = split_address(address)
        arguments = tls.arguments if tls else {}
        self._server, self._thread = start_http_server(port, host, registry=self.registry, **arguments)
        if tls:
            tls.keep_fresh(self._server.socket.context)  # type: ignore[attr-defined]  # it is one of TLS now
        return int(self._server.server_port)

    def close(self) -> None:
        """Stops serving, if it was begun, and frees the port."""
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = self._thread = None


class Refusals(AbstractContextManager[None]):
    """Counts calls that end in a domain error, by reason: one of a closed set, or `OTHER`."""

    def __init__(self, name: str, documentation: str, reasons: Sequence[str], registry: CollectorRegistry) -> None:
        self._counter = Counter(name, documentation, ["reason"], registry=registry)
        self._reasons = frozenset(reasons)
        # From the start, so that a rate over the first refusal is a rate and not a gap.
        for reason in (*reasons, "OTHER"):
            self._counter.labels(reason)

    def counted(self) -> AbstractContextManager[None]:
        """Counts the domain error that leaves the block, if one does."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if isinstance(error, SymbiontError):
            self._counter.labels(error.reason if error.reason in self._reasons else "OTHER").inc()
