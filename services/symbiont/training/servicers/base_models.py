"""BaseModelService."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from typing_extensions import override

from symbiont.api.training.v1 import base_model_pb2 as pb
from symbiont.api.training.v1 import base_model_pb2_grpc as rpc
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.calls import Context
from symbiont.common.pages import page_of
from symbiont.common.resources import parse_name
from symbiont.training import bases
from symbiont.training.convert_bases import (
    base_changes_from_proto,
    base_to_proto,
    provider_and_license,
    quantization_to_proto,
    source_from_proto,
    terms_from_proto,
)
from symbiont.training.quantization.quantization import Quantization
from symbiont.training.store import Store


class BaseModelServicer(rpc.BaseModelServiceServicer):
    """Registers, quantises and shows base models."""

    def __init__(self, store: Store, artifacts: ArtifactStore, quantization: Quantization) -> None:
        self._store = store
        self._artifacts = artifacts
        self._quantization = quantization

    @override
    async def RegisterBaseModel(self, request: pb.RegisterBaseModelRequest, context: Context) -> pb.BaseModel:
        model = request.base_model
        source, terms = source_from_proto(model.source), terms_from_proto(model.terms)
        provider, license = provider_and_license(model)
        base = await asyncio.to_thread(
            bases.register, self._artifacts, request.base_model_id, source, provider, license, terms
        )
        return base_to_proto(await asyncio.to_thread(self._store.add_base, base))

    @override
    async def QuantizeBaseModel(
        self, request: pb.QuantizeBaseModelRequest, context: Context
    ) -> AsyncIterator[pb.QuantizeBaseModelResponse]:
        identifier = parse_name("name", "bases", request.name)
        async with aclosing(self._quantization.run(identifier, request.texts)) as progress:
            async for made in progress:
                yield quantization_to_proto(made)

    @override
    async def UpdateBaseModel(self, request: pb.UpdateBaseModelRequest, context: Context) -> pb.BaseModel:
        identifier = parse_name("base_model.name", "bases", request.base_model.name)
        changes = base_changes_from_proto(request)
        return base_to_proto(await asyncio.to_thread(self._store.update_base, identifier, changes))

    @override
    async def GetBaseModel(self, request: pb.GetBaseModelRequest, context: Context) -> pb.BaseModel:
        return base_to_proto(await asyncio.to_thread(self._store.base, parse_name("name", "bases", request.name)))

    @override
    async def ListBaseModels(self, request: pb.ListBaseModelsRequest, context: Context) -> pb.ListBaseModelsResponse:
        items = [(base.id, base) for base in await asyncio.to_thread(self._store.bases)]
        page, token = page_of(items, request.page_size, request.page_token)
        return pb.ListBaseModelsResponse(base_models=[base_to_proto(b) for b in page], next_page_token=token)
