"""ErasureService."""

from typing_extensions import override

from symbiont.api.training.v1 import erasure_pb2 as pb
from symbiont.api.training.v1 import erasure_pb2_grpc as rpc
from symbiont.common.calls import Context
from symbiont.training.erasure.convert import forgotten_to_proto
from symbiont.training.erasure.erasure import Forgetting


class ErasureServicer(rpc.ErasureServiceServicer):
    """Forgets subjects."""

    def __init__(self, forgetting: Forgetting) -> None:
        self._forgetting = forgetting

    @override
    async def ForgetSubject(self, request: pb.ForgetSubjectRequest, context: Context) -> pb.ForgetSubjectResponse:
        how = {"dry_run": request.dry_run, "retrain": request.retrain}
        done = await self._forgetting.forget(request.subject, **how, request_id=request.request_id)
        return forgotten_to_proto(done)
