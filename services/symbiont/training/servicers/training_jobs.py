"""TrainingJobService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from typing_extensions import override

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.api.training.v1 import training_job_pb2_grpc as rpc
from symbiont.common.access.tenancy import listed_owner, own_tenant
from symbiont.common.calls import Context
from symbiont.common.errors import InvalidArgument
from symbiont.common.pages import decode_token, encode_token, page_size
from symbiont.common.principal import current_principal
from symbiont.common.resources import parse_name, parse_version_name
from symbiont.training.convert import (
    event_to_proto,
    job_query_from_proto,
    job_to_proto,
    spec_from_proto,
    terms_from_proto,
)
from symbiont.training.jobs import Jobs
from symbiont.training.logs import Logs
from symbiont.training.planning.convert import plan_progress_to_proto
from symbiont.training.planning.planning import Planning
from symbiont.training.types import Event


class TrainingJobServicer(rpc.TrainingJobServiceServicer):
    """Plans, creates, shows, steers and follows jobs."""

    def __init__(self, jobs: Jobs, planning: Planning, logs: Logs) -> None:
        self._jobs = jobs
        self._planning = planning
        self._logs = logs
        self._latest: tuple[Event | None, pb.TrainingEvent] = None, pb.TrainingEvent()

    @override
    async def CreateTrainingJob(self, request: pb.CreateTrainingJobRequest, context: Context) -> pb.TrainingJob:
        spec, terms = spec_from_proto(request.training_job.spec), terms_from_proto(request.training_job)
        terms = replace(terms, tenant=own_tenant("training_job.tenant", request.training_job.tenant) or terms.tenant)
        if request.validate_only:
            return job_to_proto(await self._jobs.check(spec, terms))
        return job_to_proto(await self._jobs.create(spec, request.request_id, terms, current_principal().name))

    @override
    async def ReproduceModelVersion(self, request: pb.ReproduceModelVersionRequest, context: Context) -> pb.TrainingJob:
        model, number = parse_version_name("name", request.name)
        principal = current_principal().name
        return job_to_proto(await self._jobs.reproduce(model, number, request.request_id, principal))

    @override
    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest, context: Context) -> pb.TrainingJob:
        identifier = parse_name("name", "jobs", request.name)
        return job_to_proto(await self._jobs.get(identifier), await self._jobs.checkpoints(identifier))

    @override
    async def ListTrainingJobs(
        self, request: pb.ListTrainingJobsRequest, context: Context
    ) -> pb.ListTrainingJobsResponse:
        size, after = page_size(request.page_size), decode_token(request.page_token)
        if after and not (after.isascii() and after.isdecimal()):
            raise InvalidArgument("page_token", "it was not made by this service")
        query = replace(job_query_from_proto(request), owner=listed_owner())
        found = await self._jobs.list(query, int(after) if after else None, size + 1)
        token = encode_token(str(found[size - 1][0])) if len(found) > size else ""
        return pb.ListTrainingJobsResponse(
            training_jobs=[job_to_proto(job, whole=False) for _, job in found[:size]], next_page_token=token
        )

    @override
    async def CancelTrainingJob(self, request: pb.CancelTrainingJobRequest, context: Context) -> pb.TrainingJob:
        identifier = parse_name("name", "jobs", request.name)
        return job_to_proto(await self._jobs.cancel(identifier, keep=request.keep_work))

    @override
    async def PauseTrainingJob(self, request: pb.PauseTrainingJobRequest, context: Context) -> pb.TrainingJob:
        return job_to_proto(await self._jobs.pause(parse_name("name", "jobs", request.name)))

    @override
    async def ResumeTrainingJob(self, request: pb.ResumeTrainingJobRequest, context: Context) -> pb.TrainingJob:
        return job_to_proto(await self._jobs.resume(parse_name("name", "jobs", request.name)))

    @override
    async def PlanTrainingJob(
        self, request: pb.PlanTrainingJobRequest, context: Context
    ) -> AsyncIterator[pb.PlanTrainingJobResponse]:
        async with aclosing(self._planning.plan(spec_from_proto(request.spec, "spec"))) as plan:
            async for progress in plan:
                yield plan_progress_to_proto(progress)

    @override
    async def ListTrainingEvents(
        self, request: pb.ListTrainingEventsRequest, context: Context
    ) -> pb.ListTrainingEventsResponse:
        size = page_size(request.page_size, default=500)
        events = await self._jobs.events(parse_name("name", "jobs", request.name), request.after_event_id, size)
        return pb.ListTrainingEventsResponse(events=[event_to_proto(event) for event in events])

    @override
    async def ReadTrainingLog(
        self, request: pb.ReadTrainingLogRequest, context: Context
    ) -> AsyncIterator[pb.ReadTrainingLogResponse]:
        identifier = parse_name("name", "jobs", request.name)
        start = request.attempt, request.tail_bytes, request.offset
        async for attempt, offset, chunk in self._logs.read(identifier, *start, follow=request.follow):
            yield pb.ReadTrainingLogResponse(attempt=attempt, offset=offset, chunk=chunk)

    @override
    async def WatchTrainingJob(
        self, request: pb.WatchTrainingJobRequest, context: Context
    ) -> AsyncIterator[pb.TrainingEvent]:
        async for event in self._jobs.watch(parse_name("name", "jobs", request.name), request.after_event_id):
            yield self._message_of(event)

    def _message_of(self, event: Event) -> pb.TrainingEvent:
        """Returns an event's message: made once, though thousands watch the job, who get it one after another."""
        known, message = self._latest
        if event is not known:
            message = event_to_proto(event)
            self._latest = event, message
        return message
