"""Which calls leave an exemplar: those of a trace that somebody records, as W3C Trace Context writes it."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN, format_trace_id

from symbiont.common.exemplars import exemplar_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_recorded_trace_is_an_exemplar() -> None:
    metadata = (("x-request-id", "r"), ("traceparent", f"00-{TRACE}-{SPAN}-01"))
    assert exemplar_of(metadata, INVALID_SPAN) == {"trace_id": TRACE}


def test_a_later_version_may_say_more() -> None:
    assert exemplar_of([("traceparent", f"01-{TRACE}-{SPAN}-03-more")], INVALID_SPAN) == {"trace_id": TRACE}


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-{SPAN}-00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-01",
        "",
        b"00",
    ],
)
def test_others_are_none(value: str | bytes) -> None:
    assert exemplar_of([("traceparent", value)], INVALID_SPAN) is None
    assert exemplar_of([], INVALID_SPAN) is None


def test_the_trace_that_this_process_keeps_is_one() -> None:
    span = TracerProvider().get_tracer("symbiont").start_span("Predict")
    assert exemplar_of([], span) == {"trace_id": format_trace_id(span.get_span_context().trace_id)}
