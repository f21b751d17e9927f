"""Traces by OpenTelemetry: the spans that a call leaves in every process that it passes, joined by W3C `traceparent`.

A span says ids, counts, digests and codes, and never a text or a label: of an error, its class alone. Whether a trace
is kept is decided where it begins; the tracer goes along in the context of a call that is kept, so that without one no
span is made and next to nothing is spent.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.context import Context as Context
from opentelemetry.context import attach, create_key, detach, get_current, get_value, set_value
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from symbiont.common.errors import SymbiontError

Attributes = Mapping[str, str | int]
_TRACER = create_key("symbiont-tracer")
_W3C = TraceContextTextMapPropagator()
_NOTHING: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)
TRACEPARENT = "traceparent"
_HEALTH = "/grpc.health."
# The callee's own failures; the others are the caller's, and an answer like any other.
_FAILURES = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


class Tracing:
    """Begins the spans of one process, with a tracer; without one there are none."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer

    def served(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """Begins the span of an RPC that has come in, and makes it current for the rest of the task that serves it.

        Args:
            method: its full name.
            metadata: what came with it: a `traceparent` joins it to the caller's trace, whose choice to keep or not is
                followed.
        """
        if self._tracer is None or method.startswith(_HEALTH):
            return INVALID_SPAN
        span = self._begin(method.lstrip("/"), SpanKind.SERVER, _parent(metadata))
        attach(self._context(span))
        return span

    @contextmanager
    def root(self, name: str, attributes: Attributes, traceparent: str = "") -> Iterator[Span]:
        """Makes a span that no RPC has begun; `traceparent` is that of the process which asked for the work."""
        if self._tracer is None:
            yield INVALID_SPAN
            return
        span = self._begin(name, SpanKind.INTERNAL, _parent([(TRACEPARENT, traceparent)]), attributes)
        with _during(span, self._context(span)):
            yield span

    def _begin(self, name: str, kind: SpanKind, parent: Context, attributes: Attributes | None = None) -> Span:
        assert self._tracer  # noqa: S101, both callers have looked
        return self._tracer.start_span(name, parent, kind, attributes)

    def _context(self, span: Span) -> Context:
        context = set_span_in_context(span, Context())
        return set_value(_TRACER, self._tracer, context) if span.is_recording() else context


UNTRACED = Tracing()


def note_status(span: Span, code: int, name: str, request_id: str) -> None:
    """Says in the span of an RPC how it has ended, as gRPC counts and names it."""
    if span.is_recording():
        span.set_attribute("rpc.grpc.status_code", code)
        span.set_attribute("symbiont.request_id", request_id)
        if name in _FAILURES:
            span.set_attribute("error.type", name)
            span.set_status(Status(StatusCode.ERROR))


def span(name: str, kind: SpanKind = SpanKind.INTERNAL) -> AbstractContextManager[Span]:
    """Makes a span below the current one, for as long as the block lasts, where the call is kept."""
    tracer = get_value(_TRACER)
    if tracer is None:
        return _NOTHING
    return calling(tracer, name, kind)  # type: ignore[arg-type] # it is what was put there


@contextmanager
def calling(tracer: Tracer, name: str, kind: SpanKind = SpanKind.CLIENT) -> Iterator[Span]:
    """Makes a span of a tracer's below the current one, for as long as the block lasts."""
    made = tracer.start_span(name, kind=kind)
    with _during(made, set_span_in_context(made)):
        yield made


def kept() -> Context | None:
    """Returns the context of the call being served, for work done elsewhere; None where its trace is not kept."""
    context = get_current()
    return context if _TRACER in context else None


def waited(name: str, context: Context | None, seconds: float) -> None:
    """Makes a span of a wait that ends now, in the trace of a call."""
    if context is not None:
        end = time.time_ns()
        _tracer(context).start_span(name, context, start_time=end - int(1e9 * seconds)).end(end)


@contextmanager
def together(name: str, contexts: Iterable[Context | None], attributes: Attributes) -> Iterator[None]:
    """Makes spans of work that is done once for several calls: one in the trace of each, linked with each other.

    What the work calls in turn appears below the first of them. Without any, it is in nobody's trace: not in that of
    the call either in whose task the work happened to begin.
    """
    found = [context for context in contexts if context is not None]
    with ExitStack() as stack:
        first = None
        for context in found:
            links = [Link(first.get_span_context())] if first else None
            made = _tracer(context).start_span(name, context, SpanKind.INTERNAL, attributes, links)
            if first:
                first.add_link(made.get_span_context())
            first = first or made
            stack.enter_context(_ended(made))
        token = attach(set_span_in_context(first, found[0]) if first else Context())
        try:
            yield
        finally:
            detach(token)


def outgoing() -> dict[str, str]:
    """Returns the metadata that joins a peer's spans to the current one; a trace that is not kept is told, too."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier


def outgoing_if_kept() -> dict[str, str]:
    """Returns the same for a peer that would keep whatever it is told of: nothing where the trace is not kept."""
    return outgoing() if trace.get_current_span().is_recording() else {}


def _tracer(context: Context) -> Tracer:
    tracer = context[_TRACER]
    assert isinstance(tracer, Tracer)  # noqa: S101, put there above
    return tracer


def _parent(metadata: Iterable[tuple[str, str | bytes]]) -> Context:
    carrier = {key: value for key, value in metadata if key in _W3C.fields and isinstance(value, str)}
    return _W3C.extract(carrier, Context()) if carrier else Context()


@contextmanager
def _during(span: Span, context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        with _ended(span):
            yield
    finally:
        detach(token)


@contextmanager
def _ended(span: Span) -> Iterator[None]:
    try:
        yield
    except BaseException as exc:
        # Not the text: it may repeat what the caller sent.
        span.set_attribute("error.type", exc.reason if isinstance(exc, SymbiontError) else type(exc).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()
