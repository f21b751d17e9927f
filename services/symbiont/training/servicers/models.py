"""ModelService."""

import asyncio
from collections.abc import AsyncIterator

from typing_extensions import override

from symbiont.api.training.v1 import model_pb2 as pb
from symbiont.api.training.v1 import model_pb2_grpc as rpc
from symbiont.common.access.views import sees
from symbiont.common.calls import Context
from symbiont.common.pages import page_of
from symbiont.common.principal import current_principal
from symbiont.common.resources import parse_name, parse_version_name
from symbiont.training.convert import (
    alias_to_proto,
    model_to_proto,
    new_release_from_proto,
    release_changes_from_proto,
    release_to_proto,
    version_to_proto,
)
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.models import Models
from symbiont.training.releases import Releases, parse_alias_name, parse_own_version, parse_release_name
from symbiont.training.store import Store
from symbiont.training.types import Release


class ModelServicer(rpc.ModelServiceServicer):
    """Shows models, moves their aliases, and tries versions in releases."""

    def __init__(self, store: Store, models: Models, releases: Releases, metrics: TrainingMetrics) -> None:
        self._store = store
        self._models = models
        self._releases = releases
        self._metrics = metrics

    @override
    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        return model_to_proto(await asyncio.to_thread(self._store.model, parse_name("name", "models", request.name)))

    @override
    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        items = [(model.id, model) for model in await asyncio.to_thread(self._store.models) if sees(model.id)]
        page, token = page_of(items, request.page_size, request.page_token)
        return pb.ListModelsResponse(models=[model_to_proto(m) for m in page], next_page_token=token)

    @override
    async def GetModelVersion(self, request: pb.GetModelVersionRequest, context: Context) -> pb.ModelVersion:
        model, number = parse_version_name("name", request.name)
        return version_to_proto(await asyncio.to_thread(self._store.version, model, number))

    @override
    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        versions = await asyncio.to_thread(self._store.versions, parse_name("parent", "models", request.parent))
        # Newest first: the key falls as the number grows.
        items = [(f"{10**10 - v.number:010d}", v) for v in versions]
        page, token = page_of(items, request.page_size, request.page_token)
        return pb.ListModelVersionsResponse(
            model_versions=[version_to_proto(v, whole=False) for v in page], next_page_token=token
        )

    @override
    async def PromoteModelVersion(self, request: pb.PromoteModelVersionRequest, context: Context) -> pb.Model:
        model, number = parse_version_name("name", request.name)
        promoted = await self._models.promote(model, number, request.alias, current_principal().name)
        self._metrics.promotions.inc()
        return model_to_proto(promoted)

    @override
    async def RollbackModelAlias(self, request: pb.RollbackModelAliasRequest, context: Context) -> pb.ModelAlias:
        name = parse_alias_name("name", request.name)
        number = parse_own_version("from_version", request.from_version, name.model)
        return alias_to_proto(await self._models.rollback(name.model, name.alias, number, current_principal().name))

    @override
    async def CreateRelease(self, request: pb.CreateReleaseRequest, context: Context) -> pb.Release:
        alias = parse_alias_name("parent", request.parent)
        release = await self._releases.create(alias, new_release_from_proto(request.release))
        self._metrics.releases.labels("ACTIVE").inc()
        return release_to_proto(release)

    @override
    async def GetRelease(self, request: pb.GetReleaseRequest, context: Context) -> pb.Release:
        name = parse_release_name("name", request.name)
        return release_to_proto(await asyncio.to_thread(self._store.release, name.model, name.alias, name.id))

    @override
    async def ListReleases(self, request: pb.ListReleasesRequest, context: Context) -> pb.ListReleasesResponse:
        parent = parse_alias_name("parent", request.parent, wildcard=True)
        found = await asyncio.to_thread(self._store.releases, parent.model, parent.alias)
        # Newest first: the key falls as the number grows.
        page, token = page_of([(f"{10**10 - n:010d}", r) for n, r in found], request.page_size, request.page_token)
        return pb.ListReleasesResponse(releases=[release_to_proto(r) for r in page], next_page_token=token)

    @override
    async def UpdateRelease(self, request: pb.UpdateReleaseRequest, context: Context) -> pb.Release:
        name = parse_release_name("release.name", request.release.name)
        weight, shadow = release_changes_from_proto(request)
        return release_to_proto(await self._releases.update(name, weight, shadow))

    @override
    async def PromoteRelease(self, request: pb.PromoteReleaseRequest, context: Context) -> pb.Release:
        name = parse_release_name("name", request.name)
        return self._ended(await self._releases.promote(name, current_principal().name))

    @override
    async def EndRelease(self, request: pb.EndReleaseRequest, context: Context) -> pb.Release:
        name = parse_release_name("name", request.name)
        return self._ended(await self._releases.end(name, request.reason, request.rule_broken))

    def _ended(self, release: Release) -> pb.Release:
        self._metrics.releases.labels(release.state.value).inc()
        return release_to_proto(release)

    @override
    async def WatchModelAliases(
        self, request: pb.WatchModelAliasesRequest, context: Context
    ) -> AsyncIterator[pb.WatchModelAliasesResponse]:
        complete = True
        async for aliases in self._models.watch_aliases():
            yield pb.WatchModelAliasesResponse(aliases=[alias_to_proto(a) for a in aliases], complete=complete)
            complete = False
