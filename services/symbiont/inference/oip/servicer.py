"""Where a call of the Open Inference Protocol enters: decode, call the domain, encode."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import grpc
from typing_extensions import override

from symbiont.common.access.entering import Unsayable, each_of, message_of, sayable
from symbiont.common.access.views import INSIDE, OPEN, current_view, sees
from symbiont.common.calls import status_code
from symbiont.common.errors import FailedPrecondition, InvalidArgument, SymbiontError, Unimplemented
from symbiont.common.log import get_logger
from symbiont.common.request_id import current_request_id
from symbiont.common.server import Lifecycle, Registration
from symbiont.common.streamed import StreamedRequests
from symbiont.inference.deadline import Deadline
from symbiont.inference.hosts import HostKeeper
from symbiont.inference.oip import convert
from symbiont.inference.oip.answering import OpenInference
from symbiont.inference.oip.streaming import answered_in_order
from symbiont.inference.predictor import Limits
from symbiont.inference.reference import parse_open_name
from symbiont.inference.table import RoutingTable
from symbiont.inference.tenant import tenant_of
from symbiont.inference.types import Priority
from symbiont.triton.open_inference import open_inference_pb2 as pb
from symbiont.triton.open_inference import open_inference_pb2_grpc as pb_grpc

NAME = "symbiont"
# Under the names of Triton's documentation, and only what is done here: not `parameters`, because unknown ones are
# refused. Of `model_repository` the index and loading are; that unloading is refused is part of it.
EXTENSIONS = ("classification", "model_configuration", "model_repository", "schedule_policy", "statistics")

_Context = grpc.aio.ServicerContext[Any, Any]


def _left_out(what: str) -> Callable[[Any, Any, _Context], Awaitable[Any]]:
    async def refuse(self: Any, request: Any, context: _Context) -> Any:
        raise Unimplemented(f"{what} is not offered here")

    return refuse


class OpenInferenceServicer(pb_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """inference.GRPCInferenceService.

    A model is `{model}`, with the number of a version or without one, `{model}@{alias}`, or `bundles/{digest}`. Which
    tensors it takes and gives is a matter of its task: ModelMetadata tells. No call takes longer than `timeout_s`
    seconds, whatever it asks for.
    """

    def __init__(
        self,
        inference: OpenInference,
        table: RoutingTable,
        keeper: HostKeeper,
        limits: Limits,
        lifecycle: Lifecycle,
        timeout_s: float,
        stream_calls: int,
        streamed: StreamedRequests,
    ) -> None:
        """Joins the parts.

        Args:
            stream_calls: calls of one stream that run at a time.
            streamed: counts these.
        """
        self._inference = inference
        self._table = table
        self._keeper = keeper
        self._limits = limits
        self._lifecycle = lifecycle
        self._timeout = timeout_s
        self._stream_calls = stream_calls
        self._streamed = streamed

    @override
    async def ServerLive(self, request: pb.ServerLiveRequest, context: _Context) -> pb.ServerLiveResponse:
        """Says that the process answers."""
        return pb.ServerLiveResponse(live=True)

    @override
    async def ServerReady(self, request: pb.ServerReadyRequest, context: _Context) -> pb.ServerReadyResponse:
        """Whether the process takes calls and can make tokens of their texts, as its health says."""
        return pb.ServerReadyResponse(ready=self._lifecycle.ready)

    @override
    async def ModelReady(self, request: pb.ModelReadyRequest, context: _Context) -> pb.ModelReadyResponse:
        """Whether a call of the model can be answered now; a host that is not loaded is loaded by such a call."""
        reference = parse_open_name(request.name, request.version)
        ready = await self._inference.is_ready(reference, self._deadline(context))
        return pb.ModelReadyResponse(ready=ready and self._lifecycle.ready)

    @override
    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: _Context) -> pb.ServerMetadataResponse:
        """Returns the name, the version of this software, and the extensions of the protocol that it has."""
        return pb.ServerMetadataResponse(name=NAME, version=version("symbiont"), extensions=EXTENSIONS)

    @override
    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: _Context) -> pb.ModelMetadataResponse:
        """Returns the inputs and outputs of a model, and the version that answers now."""
        reference = parse_open_name(request.name, request.version)
        served = await self._inference.find(reference, self._deadline(context))
        return convert.metadata_to_proto(request.name, served)

    @override
    async def ModelConfig(self, request: pb.ModelConfigRequest, context: _Context) -> pb.ModelConfigResponse:
        """Returns the same as ModelMetadata in Triton's form, for clients that ask for that."""
        reference = parse_open_name(request.name, request.version)
        served = await self._inference.find(reference, self._deadline(context))
        return convert.config_to_proto(request.name, served)

    @override
    async def ModelInfer(self, request: pb.ModelInferRequest, context: _Context) -> pb.ModelInferResponse:
        """Predicts on a batch of texts, or of rows of token ids."""
        return await self._infer(context, request)

    @override
    async def ModelStreamInfer(
        self, request: AsyncIterator[pb.ModelInferRequest], context: _Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Predicts on one batch after another; answers come in the order of the requests.

        What goes wrong with one request is its `error_message`, `STATUS_CODE: text`, and the stream lives on.
        """
        answer = partial(self._infer_in_stream, context)
        requests, stopping = each_of(aiter(request)), self._lifecycle.stopping
        async for response in answered_in_order(requests, answer, self._stream_calls, stopping):
            yield response

    @override
    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: _Context
    ) -> pb.ModelStatisticsResponse:
        """Returns what ModelInfer and ModelStreamInfer did for a model, or, without a name, for each that was asked.

        Calls of Predict are not among them: Prometheus has the sums of both.
        """
        records = self._inference.records()
        if not request.name and current_view() is not INSIDE:
            # Of a bundle by its digest it is not known whose it is.
            records = [record for record in records if "/" not in record.model and sees(record.model)]
        if request.name:
            reference = parse_open_name(request.name, request.version)
            found = await self._inference.find(reference, self._deadline(context))
            model, version = found.version.open_name
            records = [record for record in records if record.model == model]
            if request.version or "@" in request.name:
                records = [record for record in records if record.version == version]
        return convert.statistics_to_proto(records)

    @override
    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: _Context
    ) -> pb.RepositoryIndexResponse:
        """Returns every alias by the name that it is called by, and the version that answers, as far as is known here.

        Versions by number and bundles by digest can be called too, and are not listed.
        """
        if request.repository_name:
            raise InvalidArgument("repository_name", "there is one repository, which has no name")
        missing = "" if self._lifecycle.ready else "the server is not ready"
        models = [
            (alias, missing or self._keeper.problem(alias.version))
            for alias in self._table.aliases()
            if sees(alias.model)
        ]
        return convert.index_to_proto(models, request.ready)

    @override
    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: _Context
    ) -> pb.RepositoryModelLoadResponse:
        """Loads the host of a model and its bundle, by one text through every stage."""
        convert.check_parameters("parameters", request.parameters, {})
        name = convert.loaded_name(request)
        await self._inference.warm(parse_open_name(name, ""), self._deadline(context))
        # Its name stands where no proto has a field.
        return convert.loaded_to_proto(current_view().leave(OPEN, name))

    @override
    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: _Context
    ) -> pb.RepositoryModelUnloadResponse:
        """Refuses: FAILED_PRECONDITION.

        A host keeps the bundles used last, and any other caller of the model would load it again at once.
        """
        raise FailedPrecondition(
            "models are not unloaded by hand: a host lets go of the bundles that were unused for longest; to change "
            "what a name answers with, point its alias at another version: PromoteModelVersion of the training "
            "service, or `symbiont models promote`",
            reason="UNLOAD",
        )

    SystemSharedMemoryStatus = _left_out("shared memory")
    SystemSharedMemoryRegister = _left_out("shared memory")
    SystemSharedMemoryUnregister = _left_out("shared memory")
    CudaSharedMemoryStatus = _left_out("CUDA shared memory")
    CudaSharedMemoryRegister = _left_out("CUDA shared memory")
    CudaSharedMemoryUnregister = _left_out("CUDA shared memory")
    TraceSetting = _left_out("the setting of traces")
    LogSettings = _left_out("the setting of logs")

    async def _infer(self, context: _Context, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        with self._inference.refusals():
            asked = convert.timeout_from_proto(request)
            call = convert.infer_call_from_proto(request, self._limits)
            deadline = self._deadline(context, asked, call.options.priority)
            answer = await self._inference.infer(call, deadline)
        return convert.infer_answer_to_proto(request, answer)

    async def _infer_in_stream(
        self, context: _Context, given: pb.ModelInferRequest | Unsayable
    ) -> pb.ModelStreamInferResponse:
        try:
            with self._streamed.counted():
                return pb.ModelStreamInferResponse(infer_response=await self._infer(context, sayable(given)))
        except Exception as exc:  # noqa: BLE001, every error belongs to its request
            # The id tells a caller which of its requests failed.
            request = message_of(given)
            named = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
            return pb.ModelStreamInferResponse(error_message=_message(exc), infer_response=named)

    def _deadline(
        self, context: _Context, asked: float | None = None, priority: Priority = Priority.INTERACTIVE
    ) -> Deadline:
        times = (self._timeout, context.time_remaining(), asked)
        tenant = tenant_of(context.invocation_metadata() or ())
        return Deadline(min(time for time in times if time is not None), tenant, priority)


def open_registration(servicer: OpenInferenceServicer) -> Registration:
    """Joins the servicer to its place in a server."""
    name = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
    return Registration(name, servicer, pb_grpc.add_GRPCInferenceServiceServicer_to_server)


def _message(error: Exception) -> str:
    """Returns `STATUS_CODE: text`; an unknown error shows no more than it does outside of a stream."""
    if isinstance(error, SymbiontError) and type(error) is not SymbiontError:
        get_logger().info("refused", reason=error.reason, field=error.place)
        return f"{status_code(error).name}: {error}"
    get_logger().error("unexpected error", exc_info=error)
    return f"INTERNAL: internal error; the log has it under request id {current_request_id()}"
