"""WorkerService."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from typing_extensions import override

from symbiont.api.training.v1 import worker_pb2 as pb
from symbiont.api.training.v1 import worker_pb2_grpc as rpc
from symbiont.common.calls import Context
from symbiont.common.errors import FailedPrecondition
from symbiont.training import types
from symbiont.training.convert import report_from_proto
from symbiont.training.jobs import Jobs
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.notifier import Notifier
from symbiont.training.passes import METADATA_KEY, Passes

GOODBYE_SECONDS = 3.0
Metadata = Iterable[tuple[str, str | bytes]]
Answer = pb.ControllerMessage | BaseException | None
WORDS = {
    "cancel": pb.ControllerMessage(cancel=pb.Cancel()),
    "preempt": pb.ControllerMessage(preempt=pb.Preempt()),
    "finish": pb.ControllerMessage(finish=pb.Finish()),
}


def wanted_of(job: types.Job, attempt: int) -> str:
    """Returns what the worker of an attempt is to be told; empty for nothing."""
    if job.attempt != attempt:
        return ""
    if job.state is types.JobState.PAUSING:
        return "preempt"
    if job.finishing:
        return "finish"
    return "cancel" if job.state is types.JobState.CANCELLING else ""


class WorkerServicer(rpc.WorkerServiceServicer):
    """Takes the reports of workers; tells them what is stored, and when to stop."""

    def __init__(
        self,
        jobs: Jobs,
        notifier: Notifier,
        metrics: TrainingMetrics,
        stopping: asyncio.Event,
        passes: Passes,
    ) -> None:
        self._jobs = jobs
        self._notifier = notifier
        self._metrics = metrics
        self._stopping = stopping
        self._passes = passes

    @override
    async def Report(
        self, request_iterator: AsyncIterator[pb.WorkerMessage], context: Context
    ) -> AsyncIterator[pb.ControllerMessage]:
        answers: asyncio.Queue[Answer] = asyncio.Queue()
        metadata: Metadata = context.invocation_metadata() or ()
        shown = next((value for key, value in metadata if key == METADATA_KEY), "")
        reader = asyncio.create_task(self._read(request_iterator, answers, str(shown)))
        self._metrics.worker_streams.inc()
        try:
            while (answer := await answers.get()) is not None:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            reader.cancel()
            self._metrics.worker_streams.dec()
            # The worker may be gone: look at its process now, not at the next round.
            self._notifier.notify(Notifier.QUEUE)

    async def _read(
        self,
        requests: AsyncIterator[pb.WorkerMessage],
        answers: "asyncio.Queue[Answer]",
        shown: str,
    ) -> None:
        stop = asyncio.create_task(self._end_when_stopping(answers))
        telling: asyncio.Task[None] | None = None
        try:
            async for request in requests:
                report = report_from_proto(request)
                self._passes.check(shown, report)
                await self._take(report)
                if telling is None:
                    telling = asyncio.create_task(self._tell(report.job, report.attempt, answers))
                if report.seq:
                    answers.put_nowait(pb.ControllerMessage(ack=pb.Ack(seq=report.seq)))
            answers.put_nowait(None)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001, handed to the stream, whose wrapper knows what to do with it
            answers.put_nowait(exc)
        finally:
            stop.cancel()
            if telling:
                telling.cancel()

    async def _take(self, report: types.WorkerReport) -> None:
        try:
            await self._jobs.take(report)
        except FailedPrecondition:
            self._metrics.reports_fenced.inc()
            raise
        self._metrics.reports.labels(type(report.report).__name__).inc()

    async def _tell(self, job: str, attempt: int, answers: "asyncio.Queue[Answer]") -> None:
        """Tells the worker what the state of the job asks of it, each thing once."""
        told: set[str] = set()
        while True:
            news = self._notifier.subscribe(job)
            try:
                wanted = wanted_of(await self._jobs.get(job), attempt)
                if wanted and wanted not in told:
                    told.add(wanted)
                    answers.put_nowait(WORDS[wanted])
                await news.wait()
            finally:
                self._notifier.forget(job, news)

    async def _end_when_stopping(self, answers: "asyncio.Queue[Answer]") -> None:
        await self._stopping.wait()
        # When the whole machine stops, the worker stops too: its last checkpoint and its goodbye are worth a moment.
        await asyncio.sleep(GOODBYE_SECONDS)
        answers.put_nowait(None)
