"""PassportService."""

import asyncio

from typing_extensions import override

from symbiont.api.training.v1 import passport_pb2 as pb
from symbiont.api.training.v1 import passport_pb2_grpc as rpc
from symbiont.common.calls import Context
from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import parse_version_name
from symbiont.training.passport.convert import passport_to_proto
from symbiont.training.passport.passport import Passports
from symbiont.training.promotion.convert import parse_decision_name
from symbiont.training.store import Store

_FORMATS = (pb.REPORT_FORMAT_UNSPECIFIED, pb.REPORT_FORMAT_HTML, pb.REPORT_FORMAT_JSON)


class PassportServicer(rpc.PassportServiceServicer):
    """Shows where versions come from, and what they are worth."""

    def __init__(self, store: Store, passports: Passports) -> None:
        self._store = store
        self._passports = passports

    @override
    async def GetModelPassport(self, request: pb.GetModelPassportRequest, context: Context) -> pb.ModelPassport:
        model, number = parse_version_name("name", request.name)
        return passport_to_proto(await asyncio.to_thread(self._passports.passport, model, number))

    @override
    async def GetEvaluationReport(
        self, request: pb.GetEvaluationReportRequest, context: Context
    ) -> pb.EvaluationReport:
        if request.format not in _FORMATS:
            raise InvalidArgument("format", f"{request.format} is none that there is")
        return await asyncio.to_thread(self._report, request)

    def _report(self, request: pb.GetEvaluationReportRequest) -> pb.EvaluationReport:
        report = self._passports.report(*self._evaluation(request.name))
        if request.format == pb.REPORT_FORMAT_JSON:
            return pb.EvaluationReport(content=report.to_json().encode(), media_type="application/json")
        page = self._passports.page(report, request.language, with_texts=request.with_texts)
        return pb.EvaluationReport(content=page.encode(), media_type="text/html")

    def _evaluation(self, name: str) -> tuple[str, str]:
        """Returns the digest of the evaluation of a version or a judgement, and the number of the version."""
        if "/decisions/" in name:
            decision = self._store.decision(*parse_decision_name("name", name))
            return decision.evaluation_digest, str(decision.version or "")
        model, number = parse_version_name("name", name)
        return self._store.version(model, number).evaluation_digest, str(number)
