"""The part of DatasetService that works on rows."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from typing_extensions import override

from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.api.training.v1 import dataset_pb2_grpc as rpc
from symbiont.common.calls import Context
from symbiont.common.errors import InvalidArgument, ResourceExhausted
from symbiont.training.gate import convert
from symbiont.training.gate.gate import DataGate
from symbiont.training.gate.results import Report
from symbiont.training.gate.work import Progress
from symbiont.training.types import Dataset

# A chunk of a file that goes out.
_CHUNK = 1 << 18


class GateServicer(rpc.DatasetServiceServicer):
    """Prepares, cuts, looks through and labels datasets."""

    def __init__(self, gate: DataGate, max_bytes: int) -> None:
        self._gate = gate
        self._max_bytes = max_bytes

    @override
    async def PrepareDataset(
        self, request: pb.PrepareDatasetRequest, context: Context
    ) -> AsyncIterator[pb.PrepareDatasetResponse]:
        asked = convert.prepare_from_proto(request)
        async with aclosing(self._gate.prepare(request.name, request.dataset_id, asked)) as work:
            async for made in work:
                if isinstance(made, Progress):
                    yield pb.PrepareDatasetResponse(progress=convert.progress_to_proto(made))
                else:
                    yield pb.PrepareDatasetResponse(dataset=await self._shown(made))

    @override
    async def SplitDataset(
        self, request: pb.SplitDatasetRequest, context: Context
    ) -> AsyncIterator[pb.SplitDatasetResponse]:
        asked = convert.split_from_proto(request)
        identifiers = request.train_dataset_id, request.test_dataset_id
        async with aclosing(self._gate.split(request.name, identifiers, asked)) as work:
            async for made in work:
                if isinstance(made, Progress):
                    yield pb.SplitDatasetResponse(progress=convert.progress_to_proto(made))
                else:
                    train, test = [await self._shown(part) for part in made]
                    yield pb.SplitDatasetResponse(datasets=pb.SplitDatasets(train=train, test=test))

    @override
    async def ValidateDataset(
        self, request: pb.ValidateDatasetRequest, context: Context
    ) -> AsyncIterator[pb.ValidateDatasetResponse]:
        async with aclosing(self._gate.validate(request.name, convert.validate_from_proto(request))) as work:
            async for made in work:
                if isinstance(made, Report):
                    yield pb.ValidateDatasetResponse(report=convert.report_to_proto(made))
                else:
                    yield pb.ValidateDatasetResponse(progress=convert.progress_to_proto(made))

    @override
    async def SuggestRows(
        self, request: pb.SuggestRowsRequest, context: Context
    ) -> AsyncIterator[pb.SuggestRowsResponse]:
        async with aclosing(self._gate.suggest(request.name, convert.suggest_from_proto(request))) as work:
            async for made in work:
                if isinstance(made, Progress):
                    yield pb.SuggestRowsResponse(progress=convert.progress_to_proto(made))
                else:
                    yield pb.SuggestRowsResponse(suggestions=convert.suggestions_to_proto(made))

    @override
    async def ExportRows(self, request: pb.ExportRowsRequest, context: Context) -> AsyncIterator[pb.ExportRowsResponse]:
        format = convert.format_from_proto(request.format, "format")
        suggestions = convert.suggestions_from_proto(request.suggestions)
        parts = self._gate.export(request.name, format, suggestions)
        while chunk := await asyncio.to_thread(_next_chunk, parts):
            yield pb.ExportRowsResponse(chunk=chunk)

    @override
    async def ImportLabels(
        self, request_iterator: AsyncIterator[pb.ImportLabelsRequest], context: Context
    ) -> pb.Dataset:
        first = await anext(aiter(request_iterator), pb.ImportLabelsRequest())
        if first.WhichOneof("message") != "header":
            raise InvalidArgument("header", "the first message must be the header")
        header = first.header
        format = convert.format_from_proto(header.format, "header.format")
        await asyncio.to_thread(self._gate.check_import, header.name, header.dataset_id)
        content = bytearray()
        async for request in request_iterator:
            if request.WhichOneof("message") != "chunk":
                raise InvalidArgument("chunk", "every message after the first must be a chunk")
            content += request.chunk
            if len(content) > self._max_bytes:
                problem = f"the file is over {self._max_bytes} bytes"
                raise ResourceExhausted(problem, field="chunk", reason="UPLOAD_TOO_LARGE")
        made = await self._gate.import_labels(
            header.name, header.dataset_id, format, bytes(content), only_labelled=header.only_labelled
        )
        return await self._shown(made)

    async def _shown(self, dataset: Dataset) -> pb.Dataset:
        lineage = await asyncio.to_thread(self._gate.lineage, dataset)
        return convert.dataset_with_lineage(dataset, lineage)


def _next_chunk(parts: Iterator[bytes]) -> bytes:
    """Returns the next bytes, about as many as a message holds; none at the end."""
    chunk = bytearray()
    for part in parts:
        chunk += part
        if len(chunk) >= _CHUNK:
            break
    return bytes(chunk)
