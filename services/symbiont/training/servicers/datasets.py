"""DatasetService."""

import asyncio
from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty
from typing_extensions import override

from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.common.access.views import sees
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.calls import Context
from symbiont.common.errors import InvalidArgument
from symbiont.common.pages import page_of
from symbiont.common.resources import parse_name
from symbiont.training.convert import dataset_to_proto, header_from_proto
from symbiont.training.data.datasets import Upload, keep, remove
from symbiont.training.data.header import Header
from symbiont.training.gate.gate import DataGate
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.servicers.gate import GateServicer
from symbiont.training.storage import RoomOf, any_room
from symbiont.training.store import Store


class DatasetServicer(GateServicer):
    """Takes and shows datasets."""

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        metrics: TrainingMetrics,
        gate: DataGate,
        max_bytes: int,
        room: RoomOf = any_room,
    ) -> None:
        super().__init__(gate, max_bytes)
        self._store = store
        self._artifacts = artifacts
        self._metrics = metrics
        self._room = room

    @override
    async def CreateDataset(
        self, request_iterator: AsyncIterator[pb.CreateDatasetRequest], context: Context
    ) -> pb.Dataset:
        first = await anext(aiter(request_iterator), pb.CreateDatasetRequest())
        if first.WhichOneof("message") != "header":
            raise InvalidArgument("header", "the first message must be the header")
        header = header_from_proto(first.header)
        upload = await asyncio.to_thread(self._upload, header)
        try:
            async for request in request_iterator:
                if request.WhichOneof("message") != "chunk":
                    raise InvalidArgument("chunk", "every message after the first must be a chunk")
                await asyncio.to_thread(upload.write, request.chunk)
            await asyncio.to_thread(upload.check)
            async with self._gate.keeping:
                stored = await asyncio.to_thread(keep, upload, self._store, self._artifacts, self._room)
        finally:
            await asyncio.to_thread(upload.close)
        self._metrics.dataset_rows.inc(stored.row_count)
        self._metrics.dataset_bytes.inc(stored.byte_count)
        return dataset_to_proto(stored)

    def _upload(self, header: Header) -> Upload:
        return Upload(header, self._max_bytes, self._artifacts.seals, self._room(header.id))

    @override
    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> pb.Dataset:
        identifier = parse_name("name", "datasets", request.name)
        return await self._shown(await asyncio.to_thread(self._store.dataset, identifier))

    @override
    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Context) -> pb.ListDatasetsResponse:
        found = await asyncio.to_thread(self._store.datasets)
        items = [(dataset.id, dataset) for dataset in found if sees(dataset.id)]
        page, token = page_of(items, request.page_size, request.page_token)
        return pb.ListDatasetsResponse(datasets=[dataset_to_proto(d) for d in page], next_page_token=token)

    @override
    async def DeleteDataset(self, request: pb.DeleteDatasetRequest, context: Context) -> Empty:
        identifier = parse_name("name", "datasets", request.name)
        async with self._gate.keeping:
            await asyncio.to_thread(remove, identifier, self._store, self._artifacts)
        return Empty()
