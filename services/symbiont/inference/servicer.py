"""Where an inference RPC enters: decode, call the domain, encode."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
from typing_extensions import override

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1 import inference_pb2_grpc as pb_grpc
from symbiont.common.access.entering import Unsayable, each_of, message_of, sayable
from symbiont.common.calls import status_code
from symbiont.common.errors import InvalidArgument, SymbiontError
from symbiont.common.health import NOT_SERVING, SERVING
from symbiont.common.log import get_logger
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.request_id import current_request_id
from symbiont.common.server import Lifecycle, Registration
from symbiont.common.streamed import StreamedRequests
from symbiont.inference import convert
from symbiont.inference.deadline import Deadline
from symbiont.inference.hosts import Report
from symbiont.inference.predictor import Predictor
from symbiont.inference.streaming import answered_as_ready
from symbiont.inference.tenant import tenant_of
from symbiont.inference.types import Priority

_Context = grpc.aio.ServicerContext[Any, Any]
MAX_ID_BYTES = 128


class InferenceServicer(pb_grpc.InferenceServiceServicer):
    """symbiont.inference.v1.InferenceService."""

    def __init__(
        self,
        predictor: Predictor,
        stopping: asyncio.Event,
        timeout_s: float,
        stream_calls: int,
        streamed: StreamedRequests,
    ) -> None:
        """Makes it.

        Args:
            stopping: set when the process is to end: streams end after what was read.
            timeout_s: longest that a call, or a request of a stream, takes, whatever it asks for.
            stream_calls: requests of one stream that run at a time.
            streamed: counts these.
        """
        self._predictor = predictor
        self._stopping = stopping
        self._timeout = timeout_s
        self._stream_calls = stream_calls
        self._streamed = streamed

    @override
    async def Predict(self, request: pb.PredictRequest, context: _Context) -> pb.PredictResponse:
        """Predicts one result for each instance."""
        call = convert.predict_call_from_proto(request)
        deadline = self._deadline(context, call.priority)
        return convert.predict_result_to_proto(await self._predictor.predict(call, deadline))

    @override
    async def PredictStream(
        self, request_iterator: AsyncIterator[pb.PredictStreamRequest], context: _Context
    ) -> AsyncIterator[pb.PredictStreamResponse]:
        """Predicts on many requests; their answers come as they are ready."""
        running: set[str] = set()

        async def answer(given: pb.PredictStreamRequest | Unsayable) -> pb.PredictStreamResponse:
            return await self._answer(given, running, context)

        answers = answered_as_ready(each_of(aiter(request_iterator)), answer, self._stream_calls, self._stopping)
        async with aclosing(answers):
            async for response in answers:
                yield response

    @override
    async def Explain(self, request: pb.ExplainRequest, context: _Context) -> pb.ExplainResponse:
        """Explains predictions."""
        call = convert.explain_call_from_proto(request)
        return convert.explain_result_to_proto(await self._predictor.explain(call, self._deadline(context)))

    async def _answer(
        self, given: pb.PredictStreamRequest | Unsayable, running: set[str], context: _Context
    ) -> pb.PredictStreamResponse:
        identifier = message_of(given).id
        try:
            with self._streamed.counted(), _running(identifier, running):
                response = await self.Predict(sayable(given).request, context)
                return pb.PredictStreamResponse(id=identifier, response=response)
        except SymbiontError as exc:
            return _failed(identifier, exc)
        except Exception as exc:  # noqa: BLE001 - one request must not end the stream; the log has it
            get_logger().error("unexpected error", exc_info=exc)
            problem = f"internal error; the log has it under request id {current_request_id()}"
            return _failed(identifier, SymbiontError(problem))

    def _deadline(self, context: _Context, priority: Priority = Priority.INTERACTIVE) -> Deadline:
        asked, tenant = context.time_remaining(), tenant_of(context.invocation_metadata() or ())
        return Deadline(self._timeout if asked is None else min(asked, self._timeout), tenant, priority)


@contextmanager
def _running(identifier: str, running: set[str]) -> Iterator[None]:
    """Holds the id of a request for as long as it runs; InvalidArgument where it cannot have that id."""
    if not 1 <= len(identifier.encode()) <= MAX_ID_BYTES:
        raise InvalidArgument("id", f"it has {len(identifier.encode())} bytes, 1 to {MAX_ID_BYTES} are allowed")
    if identifier in running:
        raise InvalidArgument("id", "a request of this id is not answered yet")
    running.add(identifier)
    try:
        yield
    finally:
        running.discard(identifier)


def _failed(identifier: str, error: SymbiontError) -> pb.PredictStreamResponse:
    return pb.PredictStreamResponse(id=identifier, error=convert.error_to_proto(error, status_code(error).value[0]))


def registration(
    predictor: Predictor, metrics: ServiceMetrics, stopping: asyncio.Event, timeout_s: float, stream_calls: int
) -> Registration:
    """Joins the servicer to its place in a server."""
    name = pb.DESCRIPTOR.services_by_name["InferenceService"].full_name
    streamed = StreamedRequests(metrics, "PredictStream")
    servicer = InferenceServicer(predictor, stopping, timeout_s, stream_calls, streamed)
    return Registration(name, servicer, pb_grpc.add_InferenceServiceServicer_to_server)


def health_report(lifecycle: Lifecycle) -> Report:
    """Returns what tells the health service whether a model can be answered."""

    async def report(name: str, ready: bool | None) -> None:
        await lifecycle.health.set(name, None if ready is None else SERVING if ready else NOT_SERVING)

    return report
