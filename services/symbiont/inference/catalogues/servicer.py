"""Where an RPC about catalogues enters: decode, call the domain, encode."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from typing_extensions import override

from symbiont.api.inference.v1 import catalogue_pb2 as pb
from symbiont.api.inference.v1 import catalogue_pb2_grpc as pb_grpc
from symbiont.common.server import Registration
from symbiont.inference.catalogues import convert
from symbiont.inference.catalogues.catalogues import Catalogues
from symbiont.inference.catalogues.embedding import Predicts
from symbiont.inference.convert import priority_from_proto
from symbiont.inference.deadline import Deadline
from symbiont.inference.tenant import tenant_of
from symbiont.inference.types import Priority

_Context = grpc.aio.ServicerContext[Any, Any]


class CatalogueServicer(pb_grpc.CatalogueServiceServicer):
    """symbiont.inference.v1.CatalogueService."""

    def __init__(self, catalogues: Catalogues, predictor: Predicts, timeout_s: float) -> None:
        """Makes it.

        Args:
            timeout_s: longest that a search, or finding a model, takes, whatever the call asks for.
        """
        self._catalogues = catalogues
        self._predictor = predictor
        self._timeout = timeout_s

    @override
    async def CreateCatalogue(self, request: pb.CreateCatalogueRequest, context: _Context) -> pb.Catalogue:
        """Creates a catalogue without entries."""
        made = await self._catalogues.create(request.catalogue_id, request.model, self._deadline(context))
        return convert.catalogue_to_proto(made)

    @override
    async def GetCatalogue(self, request: pb.GetCatalogueRequest, context: _Context) -> pb.Catalogue:
        """Returns one catalogue."""
        return convert.catalogue_to_proto(await self._catalogues.get(request.name))

    @override
    async def ListCatalogues(self, request: pb.ListCataloguesRequest, context: _Context) -> pb.ListCataloguesResponse:
        """Lists the catalogues."""
        return convert.page_to_proto(*await self._catalogues.list(request.page_size, request.page_token))

    @override
    async def ListCatalogueVersions(
        self, request: pb.ListCatalogueVersionsRequest, context: _Context
    ) -> pb.ListCatalogueVersionsResponse:
        """Lists the versions of a catalogue."""
        versions = await self._catalogues.versions(request.parent)
        return pb.ListCatalogueVersionsResponse(versions=map(convert.catalogue_to_proto, versions))

    @override
    async def DeleteCatalogue(
        self, request: pb.DeleteCatalogueRequest, context: _Context
    ) -> pb.DeleteCatalogueResponse:
        """Deletes a catalogue."""
        await self._catalogues.delete(request.name)
        return pb.DeleteCatalogueResponse()

    @override
    async def UpdateCatalogueEntries(
        self, request: pb.UpdateCatalogueEntriesRequest, context: _Context
    ) -> pb.UpdateCatalogueEntriesResponse:
        """Adds and replaces entries."""
        entries = convert.entries_from_proto(request.entries)
        return convert.changed_to_proto(await self._catalogues.update(request.name, entries, self._deadline(context)))

    @override
    async def ImportCatalogueEntries(
        self, request_iterator: AsyncIterator[pb.ImportCatalogueEntriesRequest], context: _Context
    ) -> pb.UpdateCatalogueEntriesResponse:
        """Adds and replaces any number of entries."""
        header, batches = await convert.import_from_proto(aiter(request_iterator))
        # Not the caller's, which is that of the whole import.
        deadline = Deadline(self._timeout, tenant_of(context.invocation_metadata() or ()))
        return convert.changed_to_proto(await self._catalogues.import_entries(header, batches, deadline))

    @override
    async def DeleteCatalogueEntries(
        self, request: pb.DeleteCatalogueEntriesRequest, context: _Context
    ) -> pb.DeleteCatalogueEntriesResponse:
        """Deletes entries."""
        changed = await self._catalogues.delete_entries(request.name, list(request.entry_ids))
        catalogue = convert.catalogue_to_proto(changed.version)
        return pb.DeleteCatalogueEntriesResponse(catalogue=catalogue, deleted_count=changed.deleted)

    @override
    async def SearchCatalogue(
        self, request: pb.SearchCatalogueRequest, context: _Context
    ) -> pb.SearchCatalogueResponse:
        """Finds the entries nearest to texts."""
        call_priority = priority_from_proto(request.priority)
        deadline = self._deadline(context, call_priority)
        version = await self._catalogues.to_search(request.name, list(request.texts), request.top_k)
        # The bundle is asked for by its digest, which says nothing of whose it is.
        owned = deadline.on_behalf_of(version.pin.version.model)
        result = await self._predictor.predict(convert.search_from_proto(request, version), owned)
        return convert.search_to_proto(version, result)

    def _deadline(self, context: _Context, priority: Priority = Priority.INTERACTIVE) -> Deadline:
        asked, tenant = context.time_remaining(), tenant_of(context.invocation_metadata() or ())
        return Deadline(self._timeout if asked is None else min(asked, self._timeout), tenant, priority)


def catalogue_registration(catalogues: Catalogues, predictor: Predicts, timeout_s: float) -> Registration:
    """Joins the servicer to its place in a server."""
    name = pb.DESCRIPTOR.services_by_name["CatalogueService"].full_name
    servicer = CatalogueServicer(catalogues, predictor, timeout_s)
    return Registration(name, servicer, pb_grpc.add_CatalogueServiceServicer_to_server)
