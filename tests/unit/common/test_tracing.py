"""Spans: joined by what callers say, linked where calls share work, silent about texts, absent where nobody asked."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, get_current_span

from support.waiting import until
from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common import errors
from symbiont.common.channel import connect
from symbiont.common.tracing import (
    UNTRACED,
    Tracing,
    kept,
    outgoing,
    outgoing_if_kept,
    span,
    together,
    waited,
)

REQUEST = model_pb2.GetModelRequest(name="models/x")
GET_MODEL = "symbiont.training.v1.ModelService/GetModel"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEPT, UNKEPT = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
CANARY = "what the customer wrote"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    token = attach(Context())
    yield
    detach(token)


def tracing_to(spans: InMemorySpanExporter, ratio: float = 1.0) -> Tracing:
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)))
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider.get_tracer("test"))


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Tracing:
    return tracing_to(spans)


def names(spans: InMemorySpanExporter) -> list[str]:
    return [one.name for one in spans.get_finished_spans()]


def only(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = (one for one in spans.get_finished_spans() if one.name == name)
    return found


def test_without_a_tracer_there_is_nothing() -> None:
    assert UNTRACED.served("/a.B/C", [("traceparent", KEPT)]) is INVALID_SPAN
    with UNTRACED.root("launch", {}, KEPT) as root, span("x") as inner:
        assert root is inner is INVALID_SPAN
        assert kept() is None
        assert outgoing() == outgoing_if_kept() == {}
    # The same one each time: nothing is made.
    assert span("x") is span("y")


def test_an_rpc_joins_the_trace_of_its_caller(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    served = tracing.served("/a.B/C", [("other", "x"), ("traceparent", KEPT)])
    with span("inner"):
        told = outgoing()
    served.end()
    inner, outer = only(spans, "inner"), only(spans, "a.B/C")
    assert f"{outer.context.trace_id:032x}" == f"{inner.context.trace_id:032x}" == TRACE
    assert f"{outer.parent.span_id:016x}" == CALLER
    assert inner.parent.span_id == outer.context.span_id
    assert outer.kind is SpanKind.SERVER
    assert told == {"traceparent": f"00-{TRACE}-{inner.context.span_id:016x}-01"}


def test_what_the_caller_does_not_keep_is_kept_nowhere(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    served = tracing.served("/a.B/C", [("traceparent", UNKEPT)])
    assert kept() is None
    assert span("inner") is span("another")
    # Told to those who follow such a choice, and not to those who would keep it all the same.
    assert outgoing()["traceparent"].startswith(f"00-{TRACE}-")
    assert outgoing()["traceparent"].endswith("-00")
    assert outgoing_if_kept() == {}
    served.end()
    assert names(spans) == []


@pytest.mark.parametrize(
    "header", ["", "nonsense", "00-0-0-01", f"ff-{TRACE}-{CALLER}-01", f"00-{'0' * 32}-{CALLER}-01"]
)
def test_a_header_that_is_none_begins_a_trace(header: str, tracing: Tracing, spans: InMemorySpanExporter) -> None:
    tracing.served("/a.B/C", [("traceparent", header)]).end()
    assert only(spans, "a.B/C").parent is None


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 50)])
def test_a_ratio_of_the_traces_that_begin_here(ratio: float, expected: int, spans: InMemorySpanExporter) -> None:
    tracing = tracing_to(spans, ratio)
    for _ in range(50):
        with tracing.root("launch", {}):
            pass
    assert len(names(spans)) == expected
    # Of others the caller has decided.
    tracing.served("/a.B/C", [("traceparent", KEPT)]).end()
    assert len(names(spans)) == expected + 1


def test_questions_about_health_leave_no_spans(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    assert tracing.served("/grpc.health.v1.Health/Check", [("traceparent", KEPT)]) is INVALID_SPAN


@pytest.mark.parametrize(
    ("error", "kind"), [(errors.InvalidArgument("text", CANARY), "INVALID_ARGUMENT"), (KeyError(CANARY), "KeyError")]
)
def test_of_an_error_only_its_kind_is_told(
    error: Exception, kind: str, tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(type(error)), tracing.root("root", {}), span("inner"):
        raise error
    found = only(spans, "inner")
    assert found.attributes == {"error.type": kind}
    assert found.status.status_code is StatusCode.ERROR
    assert CANARY not in found.to_json()


def test_a_wait_ends_when_it_is_told(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    with tracing.root("root", {"symbiont.job": "j"}):
        waited("queue", kept(), 2.5)
    waited("queue", None, 1.0)
    found = only(spans, "queue")
    assert found.end_time - found.start_time == 2_500_000_000
    assert found.parent.span_id == only(spans, "root").context.span_id


def test_calls_that_share_work_are_linked(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    contexts = []
    for number in range(3):
        with tracing.root(f"call {number}", {}):
            contexts.append(kept())
    with together("host", [None, *contexts], {"symbiont.rows": 7}), span("inside"):
        pass
    shared = sorted((s for s in spans.get_finished_spans() if s.name == "host"), key=lambda s: s.start_time)
    roots = [only(spans, f"call {number}") for number in range(3)]
    assert [s.parent.span_id for s in shared] == [r.context.span_id for r in roots]
    first, *others = shared
    assert [link.context.span_id for link in first.links] == [s.context.span_id for s in others]
    assert all([link.context.span_id for link in s.links] == [first.context.span_id] for s in others)
    assert only(spans, "inside").parent.span_id == first.context.span_id
    assert all(s.attributes == {"symbiont.rows": 7} for s in shared)


def test_shared_work_of_calls_that_are_not_kept_is_in_nobodys_trace(
    tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    with tracing.root("a bystander", {}):
        with together("host", [None], {}), span("inside"):
            assert get_current_span() is INVALID_SPAN
            assert outgoing() == {}
        assert kept() is not None
    assert names(spans) == ["a bystander"]


def test_shared_work_that_fails_is_marked_in_every_trace(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    contexts = []
    for number in range(2):
        with tracing.root(f"call {number}", {}):
            contexts.append(kept())
    with pytest.raises(errors.Unavailable), together("host", contexts, {}):
        raise errors.Unavailable(CANARY)
    shared = [s for s in spans.get_finished_spans() if s.name == "host"]
    assert [s.attributes["error.type"] for s in shared] == ["UNAVAILABLE"] * 2


@pytest.fixture
async def traced_peer(make_peer: Any, spans: InMemorySpanExporter) -> Any:
    return await make_peer(tracing=tracing_to(spans))


@pytest.mark.parametrize(
    ("raised", "code", "failed"),
    [
        (None, grpc.StatusCode.OK, False),
        (errors.NotFound(CANARY), grpc.StatusCode.NOT_FOUND, False),
        (RuntimeError(CANARY), grpc.StatusCode.INTERNAL, True),
    ],
)
async def test_a_call_leaves_a_span_on_both_sides(
    raised: Exception | None, code: grpc.StatusCode, failed: bool, traced_peer: Any, spans: InMemorySpanExporter
) -> None:
    async def act(request: Any, context: Any) -> None:
        if raised:
            raise raised

    traced_peer.servicer.act = act
    with tracing_to(spans).root("root", {}):
        async with connect(traced_peer.address) as channel:
            call = model_pb2_grpc.ModelServiceStub(channel).GetModel(REQUEST)
            assert await call.code() is code
    # The caller may know of the end before the service has ended its span.
    await until(lambda: len([s for s in spans.get_finished_spans() if s.name == GET_MODEL]) == 2)
    client, server = sorted((s for s in spans.get_finished_spans() if s.name == GET_MODEL), key=lambda s: s.start_time)
    assert (server.kind, client.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert server.parent.span_id == client.context.span_id
    for one in (server, client):
        assert one.attributes["rpc.grpc.status_code"] == code.value[0]
        assert (one.status.status_code is StatusCode.ERROR) is failed
        assert CANARY not in one.to_json()


async def test_a_caller_that_gives_up_ends_the_call_at_the_peer(traced_peer: Any, spans: InMemorySpanExporter) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def act(request: Any, context: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    traced_peer.servicer.act = act

    async def ask() -> None:
        with tracing_to(spans).root("root", {}):
            await model_pb2_grpc.ModelServiceStub(channel).GetModel(REQUEST)

    async with connect(traced_peer.address) as channel:
        asking = asyncio.create_task(ask())
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await ended.wait()
    assert only(spans, "root").status.status_code is StatusCode.ERROR
