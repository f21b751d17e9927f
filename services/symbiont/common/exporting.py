"""Sends the spans of this process to a collector, by OTLP over gRPC; needs the extra `tracing`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from threading import Thread

from opentelemetry.trace import Tracer

from symbiont.common.log import get_logger
from symbiont.common.tracing import UNTRACED, Tracing

# A collector that is away must not hold up the end of a process: what it has not taken by then is lost.
_LAST_SPANS_S = 2.0


def can_export() -> bool:
    """Whether the packages of the extra `tracing` are installed."""
    try:
        return bool(version("opentelemetry-exporter-otlp-proto-grpc"))
    except PackageNotFoundError:
        return False


class _ToOurLog(logging.Handler):
    """What OpenTelemetry has to complain of, as lines of this process's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Passes a line on."""
        get_logger().warning("trouble with traces", problem=record.getMessage())


def _tell_of_trouble() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers, logger.propagate = [_ToOurLog(logging.WARNING)], False


@contextmanager
def exported(service: str, endpoint: str, sample_ratio: float) -> Iterator[Tracing]:
    """Keeps the spans of a process and sends them on; without an endpoint there are none.

    Args:
        service: the package's name, `service.name` of the spans; OTEL_RESOURCE_ATTRIBUTES may add to it.
        endpoint: `host:port` of the collector, or `https://host:port`.
        sample_ratio: part of the traces that begin here which are kept; of others the caller has decided.
    """
    if not endpoint:
        yield UNTRACED
        return
    if not can_export():
        # Of a service its settings would have said so; a worker may live where other packages are.
        get_logger().warning("no spans: pip install 'symbiont[tracing]'")
        yield UNTRACED
        return
    _tell_of_trouble()
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    exporter = OTLPSpanExporter(endpoint, insecure=not endpoint.startswith("https://"))
    processor = BatchSpanProcessor(exporter)
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=Resource.create({"service.namespace": "symbiont", "service.name": service}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    tracer: Tracer = provider.get_tracer("symbiont", version("symbiont"))
    try:
        yield Tracing(tracer)
    finally:
        last = Thread(target=processor.force_flush, daemon=True)
        last.start()
        last.join(_LAST_SPANS_S)
        if last.is_alive():
            # Ends its wait, for which the processor's own end would wait, too.
            exporter.shutdown()
            last.join(_LAST_SPANS_S)
        processor.shutdown()  # type: ignore[no-untyped-call]
