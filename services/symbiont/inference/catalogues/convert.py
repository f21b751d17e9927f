"""Between the messages of CatalogueService and the domain."""

from collections.abc import AsyncIterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from symbiont.api.inference.v1 import catalogue_pb2 as pb
from symbiont.common.errors import InvalidArgument
from symbiont.inference.catalogues.types import COLLECTION, CatalogueVersion, Changed, Entry, ImportHeader
from symbiont.inference.convert import (
    prediction_to_proto,
    priority_from_proto,
    served_model_to_proto,
    stage_times_to_proto,
)
from symbiont.inference.instances import Instance, Query
from symbiont.inference.types import PredictCall, PredictResult


def catalogue_to_proto(version: CatalogueVersion) -> pb.Catalogue:
    """Makes a Catalogue."""
    index, created = version.index, Timestamp()
    created.FromNanoseconds(round(version.created * 1e9))
    return pb.Catalogue(
        name=f"{COLLECTION}/{version.catalogue}",
        version=version.number,
        digest=version.digest,
        model=version.pin.model,
        served_model=served_model_to_proto(version.pin.version),
        entry_count=version.entries,
        dimensions=version.pin.dimensions,
        search_kind=pb.SEARCH_KIND_APPROXIMATE if index else pb.SEARCH_KIND_EXACT,
        recall=index.recall if index else 1.0,
        create_time=created,
    )


def page_to_proto(versions: Sequence[CatalogueVersion], token: str) -> pb.ListCataloguesResponse:
    """Makes a ListCataloguesResponse."""
    return pb.ListCataloguesResponse(catalogues=map(catalogue_to_proto, versions), next_page_token=token)


def entries_from_proto(messages: Sequence[pb.CatalogueEntry]) -> list[Entry]:
    """Reads entries."""
    return [Entry(message.id, message.text) for message in messages]


def changed_to_proto(changed: Changed) -> pb.UpdateCatalogueEntriesResponse:
    """Makes an UpdateCatalogueEntriesResponse."""
    return pb.UpdateCatalogueEntriesResponse(
        catalogue=catalogue_to_proto(changed.version),
        embedded_count=changed.embedded,
        unchanged_count=changed.unchanged,
        truncated_count=changed.truncated,
        deleted_count=changed.deleted,
    )


async def import_from_proto(
    messages: AsyncIterator[pb.ImportCatalogueEntriesRequest],
) -> tuple[ImportHeader, AsyncIterator[Sequence[Entry]]]:
    """Reads the header of an import; returns it with what is to come."""
    first = await anext(messages, None)
    if first is None or first.WhichOneof("message") != "header":
        raise InvalidArgument("header", "the first message of an import is its header")
    header = first.header

    async def batches() -> AsyncIterator[Sequence[Entry]]:
        count = 0
        async for message in messages:
            kind = message.WhichOneof("message")
            if kind == "end":
                if message.end.entry_count != count:
                    problem = f"it tells of {message.end.entry_count} entries, {count} have come"
                    raise InvalidArgument("end.entry_count", problem)
                return
            if kind != "batch":
                raise InvalidArgument(
                    "batch", "a message of an import after the first one holds entries, or is its end"
                )
            count += len(message.batch.entries)
            yield entries_from_proto(message.batch.entries)
        # A caller that goes away looks like one that has sent everything: gRPC ends the stream for both.
        raise InvalidArgument("end", "the import ended without it: nothing is changed")

    return ImportHeader(header.name, header.replace, header.model), batches()


def search_from_proto(request: pb.SearchCatalogueRequest, version: CatalogueVersion) -> PredictCall:
    """Reads a SearchCatalogueRequest as a prediction with the bundle of the version that it asks."""
    return PredictCall(
        f"bundles/{version.pin.version.bundle_digest}",
        [Instance(Query(text, catalogue=version.name)) for text in request.texts],
        top_k=request.top_k,
        threshold=request.threshold if request.HasField("threshold") else None,
        priority=priority_from_proto(request.priority),
    )


def search_to_proto(version: CatalogueVersion, result: PredictResult) -> pb.SearchCatalogueResponse:
    """Makes a SearchCatalogueResponse."""
    return pb.SearchCatalogueResponse(
        rankings=[prediction_to_proto(prediction).ranking for prediction in result.predictions],
        served_model=served_model_to_proto(version.pin.version),
        stage_times=stage_times_to_proto(result.seconds),
    )
