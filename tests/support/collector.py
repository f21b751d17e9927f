"""An OpenTelemetry collector that keeps what it is sent: OTLP by gRPC, as the services send it, and HTTP, as Triton."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message


@dataclass(frozen=True)
class Collected:
    """A span as it arrived; `service` is the process that made it, times are seconds since the epoch."""

    service: str
    message: Message

    @property
    def name(self) -> str:
        return self.message.name

    @property
    def trace(self) -> str:
        return self.message.trace_id.hex()

    @property
    def id(self) -> str:
        return self.message.span_id.hex()

    @property
    def parent(self) -> str:
        return self.message.parent_span_id.hex()

    @property
    def begin(self) -> float:
        return self.message.start_time_unix_nano / 1e9

    @property
    def end(self) -> float:
        return self.message.end_time_unix_nano / 1e9

    @property
    def links(self) -> set[tuple[str, str]]:
        return {(link.trace_id.hex(), link.span_id.hex()) for link in self.message.links}

    @property
    def attributes(self) -> dict[str, Any]:
        return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in self.message.attributes}


class Collector(TraceServiceServicer):
    """Keeps the spans of all exports, unless it only takes them in."""

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._requests: list[ExportTraceServiceRequest] = []
        self.grpc_address = self.http_url = ""

    def Export(self, request: ExportTraceServiceRequest, context: Any = None) -> ExportTraceServiceResponse:
        with self._lock:
            if self._keep:
                self._requests.append(request)
        return ExportTraceServiceResponse()

    @property
    def raw(self) -> bytes:
        """Everything that arrived, as bytes."""
        with self._lock:
            return b"".join(request.SerializeToString() for request in self._requests)

    @property
    def spans(self) -> Sequence[Collected]:
        with self._lock:
            return [
                Collected(next(a.value.string_value for a in part.resource.attributes if a.key == "service.name"), span)
                for request in self._requests
                for part in request.resource_spans
                for scope in part.scope_spans
                for span in scope.spans
            ]

    @property
    def calls(self) -> Sequence[Collected]:
        """Returns the spans of callers, in the order in which they ended."""
        return [span for span in self.spans if span.service == "caller"]

    def trace(self, identifier: str) -> Sequence[Collected]:
        """Returns the spans of one trace, the earliest first."""
        return sorted((span for span in self.spans if span.trace == identifier), key=lambda span: span.begin)


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    """Reads OTLP's own JSON, in which ids are hexadecimal and not, as protobuf has it, in base64."""

    def in_base64(fields: dict[str, Any]) -> dict[str, Any]:
        ids = {"traceId", "spanId", "parentSpanId"} & fields.keys()
        return fields | {key: b64encode(bytes.fromhex(fields[key])).decode() for key in ids}

    return json_format.ParseDict(json.loads(body, object_hook=in_base64), ExportTraceServiceRequest())


@contextmanager
def collecting(*, keep: bool = True) -> Iterator[Collector]:
    """Runs a collector on free ports of the loopback address."""
    collector = Collector(keep=keep)
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)
    collector.grpc_address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.Export(_from_json(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.http_url = f"http://127.0.0.1:{http.server_port}/v1/traces"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        server.stop(None).wait()
