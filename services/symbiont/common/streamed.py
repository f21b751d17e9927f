"""The requests of a stream, counted as calls are: the stream itself ends well whatever becomes of them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from symbiont.common.calls import status_code
from symbiont.common.errors import SymbiontError
from symbiont.common.metrics import ServiceMetrics


class StreamedRequests:
    """Counts what was asked for in the streams of one method, under `{rpc}.request`."""

    def __init__(self, metrics: ServiceMetrics, rpc: str) -> None:
        self._labels = metrics.service, f"{rpc}.request"
        self._seconds = metrics.rpc_seconds

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts one request with the code that a call would have: that of the error which leaves the block, if any."""
        began, code = time.perf_counter(), grpc.StatusCode.CANCELLED
        try:
            yield
            code = grpc.StatusCode.OK
        except Exception as exc:
            code = status_code(exc) if isinstance(exc, SymbiontError) else grpc.StatusCode.INTERNAL
            raise
        finally:
            self._seconds.labels(*self._labels, code.name).observe(time.perf_counter() - began)
