"""The trace that a call belongs to: what joins a bucket of a histogram with one trace."""

import re
from collections.abc import Iterable, Mapping

from opentelemetry.trace import Span, format_trace_id

METADATA_KEY = "traceparent"
# W3C Trace Context, 3.2: version, trace id, the caller's span, flags, of which the last bit says that it is recorded.
_RECORDED = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f][13579bdf](?:-.*)?")


def exemplar_of(metadata: Iterable[tuple[str, str | bytes]], span: Span) -> Mapping[str, str] | None:
    """Returns the labels of an exemplar, `trace_id`; None where the call has no trace, or one that nobody records.

    Args:
        metadata: what came with the call: its caller may keep a trace where this process keeps none.
        span: the call's own, which is in the caller's trace or begins one.
    """
    if span.is_recording():
        return {"trace_id": format_trace_id(span.get_span_context().trace_id)}
    for key, value in metadata:
        if key == METADATA_KEY:
            found = _RECORDED.fullmatch(value) if isinstance(value, str) else None
            return {"trace_id": found[1]} if found else None
    return None
