"""Requests of a stream are counted by what became of each."""

import asyncio

import pytest

from symbiont.common.errors import NotFound, SymbiontError, Unavailable
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.streamed import StreamedRequests


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, "OK"),
        (NotFound("no such model"), "NOT_FOUND"),
        (Unavailable("Triton is away"), "UNAVAILABLE"),
        (SymbiontError("no one knows"), "INTERNAL"),
        (RuntimeError("a fault"), "INTERNAL"),
        (asyncio.CancelledError(), "CANCELLED"),
    ],
)
def test_a_request_counts_by_the_error_that_ends_it(error: BaseException | None, code: str) -> None:
    metrics = ServiceMetrics("inference")
    streamed = StreamedRequests(metrics, "PredictStream")

    def answer() -> None:
        with streamed.counted():
            if error:
                raise error

    for _ in range(3):
        if error:
            with pytest.raises(type(error)):
                answer()
        else:
            answer()
    (family,) = metrics.rpc_seconds.collect()
    counts = {
        tuple(sample.labels.values()): sample.value for sample in family.samples if sample.name.endswith("_count")
    }
    assert counts == {("inference", "PredictStream.request", code): 3}
