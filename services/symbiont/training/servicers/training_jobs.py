"""TrainingJobService."""

from collections.abc import AsyncIterator

from typing_extensions import override

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.api.training.v1 import training_job_pb2_grpc as rpc
from symbiont.common.calls import Context
from symbiont.common.errors import InvalidArgument
from symbiont.common.pages import decode_token, encode_token, page_size
from symbiont.common.resources import parse_name
from symbiont.training.convert import event_to_proto, job_query_from_proto, job_to_proto, spec_from_proto
from symbiont.training.jobs import Jobs


class TrainingJobServicer(rpc.TrainingJobServiceServicer):
    """Creates, shows, cancels and follows jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    @override
    async def CreateTrainingJob(self, request: pb.CreateTrainingJobRequest, context: Context) -> pb.TrainingJob:
        spec = spec_from_proto(request.training_job.spec)
        return job_to_proto(await self._jobs.create(spec, request.request_id))

    @override
    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest, context: Context) -> pb.TrainingJob:
        return job_to_proto(await self._jobs.get(parse_name("name", "jobs", request.name)))

    @override
    async def ListTrainingJobs(
        self, request: pb.ListTrainingJobsRequest, context: Context
    ) -> pb.ListTrainingJobsResponse:
        size, after = page_size(request.page_size), decode_token(request.page_token)
        if after and not (after.isascii() and after.isdecimal()):
            raise InvalidArgument("page_token", "it was not made by this service")
        found = await self._jobs.list(job_query_from_proto(request), int(after) if after else None, size + 1)
        token = encode_token(str(found[size - 1][0])) if len(found) > size else ""
        return pb.ListTrainingJobsResponse(
            training_jobs=[job_to_proto(job, whole=False) for _, job in found[:size]], next_page_token=token
        )

    @override
    async def CancelTrainingJob(self, request: pb.CancelTrainingJobRequest, context: Context) -> pb.TrainingJob:
        return job_to_proto(await self._jobs.cancel(parse_name("name", "jobs", request.name)))

    @override
    async def WatchTrainingJob(
        self, request: pb.WatchTrainingJobRequest, context: Context
    ) -> AsyncIterator[pb.TrainingEvent]:
        async for event in self._jobs.watch(parse_name("name", "jobs", request.name), request.after_event_id):
            yield event_to_proto(event)
