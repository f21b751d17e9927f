"""Where an inference RPC enters: decode, call the domain, encode."""

from typing import Any

import grpc
from typing_extensions import override

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1 import inference_pb2_grpc as pb_grpc
from symbiont.common.health import NOT_SERVING, SERVING
from symbiont.common.server import Lifecycle, Registration
from symbiont.inference import convert
from symbiont.inference.deadline import Deadline
from symbiont.inference.hosts import Report
from symbiont.inference.predictor import Predictor

_Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(pb_grpc.InferenceServiceServicer):
    """symbiont.inference.v1.InferenceService. No call takes longer than `timeout_s` seconds, whatever it asks for."""

    def __init__(self, predictor: Predictor, timeout_s: float) -> None:
        self._predictor = predictor
        self._timeout = timeout_s

    @override
    async def Predict(self, request: pb.PredictRequest, context: _Context) -> pb.PredictResponse:
        """Predicts one result for each instance."""
        asked = context.time_remaining()
        deadline = Deadline(self._timeout if asked is None else min(asked, self._timeout))
        call = convert.predict_call_from_proto(request)
        return convert.predict_result_to_proto(await self._predictor.predict(call, deadline))


def registration(predictor: Predictor, timeout_s: float) -> Registration:
    """Joins the servicer to its place in a server."""
    name = pb.DESCRIPTOR.services_by_name["InferenceService"].full_name
    return Registration(name, InferenceServicer(predictor, timeout_s), pb_grpc.add_InferenceServiceServicer_to_server)


def health_report(lifecycle: Lifecycle) -> Report:
    """Returns what tells the health service whether a model can be answered."""

    async def report(name: str, ready: bool | None) -> None:
        await lifecycle.health.set(name, None if ready is None else SERVING if ready else NOT_SERVING)

    return report
