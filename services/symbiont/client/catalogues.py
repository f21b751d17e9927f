"""What both clients send and read about catalogues."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence

from symbiont.api.inference.v1.catalogue_pb2 import (
    CatalogueEntries,
    CatalogueEntry,
    CreateCatalogueRequest,
    DeleteCatalogueEntriesRequest,
    DeleteCatalogueRequest,
    GetCatalogueRequest,
    ImportCatalogueEntriesRequest,
    ImportEnd,
    ImportHeader,
    ListCatalogueVersionsRequest,
    SearchCatalogueRequest,
    UpdateCatalogueEntriesRequest,
)
from symbiont.client.names import full_name

# An id with its text.
Entry = tuple[str, str]
# Gets how many entries were taken by the service's connection so far.
ImportProgress = Callable[[int], None]
COLLECTION = "catalogues"
# As many entries a message as keep the bar moving, and stay far below the largest message.
_ENTRIES, _BYTES = 128, 1 << 20


def create(catalogue_id: str, model: str) -> CreateCatalogueRequest:
    """Builds a creation."""
    return CreateCatalogueRequest(catalogue_id=catalogue_id, model=_model(model))


def get(name: str) -> GetCatalogueRequest:
    """Asks for a catalogue, or one of its versions, by id or name."""
    return GetCatalogueRequest(name=full_name(COLLECTION, name))


def versions(catalogue: str) -> ListCatalogueVersionsRequest:
    """Asks for the versions of a catalogue."""
    return ListCatalogueVersionsRequest(parent=full_name(COLLECTION, catalogue))


def delete(name: str) -> DeleteCatalogueRequest:
    """Builds a deletion."""
    return DeleteCatalogueRequest(name=full_name(COLLECTION, name))


def update(name: str, entries: Iterable[Entry]) -> UpdateCatalogueEntriesRequest:
    """Builds an update."""
    return UpdateCatalogueEntriesRequest(name=full_name(COLLECTION, name), entries=map(_entry, entries))


def delete_entries(name: str, entry_ids: Sequence[str]) -> DeleteCatalogueEntriesRequest:
    """Builds a deletion of entries."""
    if isinstance(entry_ids, str):
        raise TypeError("entry_ids is one string; give a list of them")
    return DeleteCatalogueEntriesRequest(name=full_name(COLLECTION, name), entry_ids=entry_ids)


def search(name: str, texts: Sequence[str], top_k: int, threshold: float | None) -> SearchCatalogueRequest:
    """Builds a search."""
    if isinstance(texts, str):
        raise TypeError("texts is one string; give a list of them")
    return SearchCatalogueRequest(name=full_name(COLLECTION, name), texts=texts, top_k=top_k, threshold=threshold)


class Import:
    """Entries as the messages of an import.

    Args:
        model: another model to pin the catalogue to; None keeps its bundle.
        progress: called after each message; for a sync client, from another thread.
    """

    def __init__(self, name: str, *, replace: bool, model: str | None, progress: ImportProgress | None) -> None:
        header = ImportHeader(name=full_name(COLLECTION, name), replace=replace, model=_model(model) if model else "")
        self.header = ImportCatalogueEntriesRequest(header=header)
        self._progress = progress
        self._sent = 0

    def messages(self, entries: Iterable[Entry]) -> Iterator[ImportCatalogueEntriesRequest]:
        """Yields the header, the entries, and the end; may be called again to send it all again."""
        self._sent = 0
        yield self.header
        batch = Batch()
        for entry in entries:
            if batch.is_full:
                yield batch.message()
                self._count(batch)
                batch = Batch()
            batch.add(entry)
        if batch.entries:
            yield batch.message()
            self._count(batch)
        yield self._end()

    async def messages_of(
        self, entries: Iterable[Entry] | AsyncIterable[Entry]
    ) -> AsyncIterator[ImportCatalogueEntriesRequest]:
        """As `messages`, also of entries that come by and by."""
        if isinstance(entries, Iterable):
            for message in self.messages(entries):
                yield message
            return
        self._sent = 0
        yield self.header
        batch = Batch()
        async for entry in entries:
            if batch.is_full:
                yield batch.message()
                self._count(batch)
                batch = Batch()
            batch.add(entry)
        if batch.entries:
            yield batch.message()
            self._count(batch)
        yield self._end()

    def _end(self) -> ImportCatalogueEntriesRequest:
        return ImportCatalogueEntriesRequest(end=ImportEnd(entry_count=self._sent))

    def _count(self, batch: "Batch") -> None:
        self._sent += len(batch.entries)
        if self._progress:
            self._progress(self._sent)


class Batch:
    """Entries of one message."""

    def __init__(self) -> None:
        self.entries: list[CatalogueEntry] = []
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether no other entry fits."""
        return len(self.entries) >= _ENTRIES or self._bytes >= _BYTES

    def add(self, entry: Entry) -> None:
        """Takes an entry in."""
        self.entries.append(_entry(entry))
        self._bytes += 4 * len(entry[1])

    def message(self) -> ImportCatalogueEntriesRequest:
        """Returns the message."""
        return ImportCatalogueEntriesRequest(batch=CatalogueEntries(entries=self.entries))


def _entry(entry: Entry) -> CatalogueEntry:
    return CatalogueEntry(id=entry[0], text=entry[1])


def _model(name: str) -> str:
    return name if name.startswith("bundles/") else full_name("models", name)
