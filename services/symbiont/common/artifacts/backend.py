"""What the artifact store needs of the place where artifacts lie."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from symbiont.common.artifacts.local import Content
from symbiont.common.encryption import Seals


class Backend(Protocol):
    """A folder or an object store. Digests and ids that come here are well formed: `ArtifactStore` has looked.

    Every method may raise Unavailable or FailedPrecondition where the place is not on this machine.
    """

    @property
    def root(self) -> Path | str:
        """What makes the same store again."""

    @property
    def remote(self) -> bool:
        """Whether a look costs a request to another machine."""

    seals: Seals

    def put(self, kind: str, files: Mapping[str, Content], fields: Mapping[str, Any], tenant: str | None) -> str:
        """Stores an artifact whole or not at all; plain where there is no tenant. Returns its digest."""

    def manifest_bytes(self, kind: str, digest: str) -> bytes:
        """Returns the bytes of a manifest, decrypted and unchecked; NotFound where there is none."""

    def folder(self, kind: str, digest: str) -> Path:
        """Returns the folder of an artifact on this machine; its files need not have been checked."""

    def path(self, kind: str, digest: str) -> Path:
        """Returns a folder of this machine whose files have been checked; see ArtifactStore.path."""

    def read(self, kind: str, digest: str, name: str, files: Mapping[str, Any]) -> bytes:
        """Returns the bytes of a file, checked against the manifest's `files`."""

    def exists(self, kind: str, digest: str) -> bool:
        """Whether an artifact is stored."""

    def stored_at(self, kind: str, digest: str) -> float:
        """Returns when an artifact was stored, in seconds of the epoch; NotFound where there is none."""

    def digests(self, kind: str) -> list[str]:
        """Returns the digests of one kind, in any order."""

    def remove(self, kind: str, digest: str) -> None:
        """Removes an artifact; one that is not there is no error."""

    def create_tag(self, kind: str, identifier: str, digest: str) -> bool:
        """Writes an id where there is none of that name, in one atomic step; returns whether it did."""

    def read_tag(self, kind: str, identifier: str) -> str:
        """Returns the digest of an id; NotFound where there is no such id."""

    def remove_tag(self, kind: str, identifier: str) -> None:
        """Removes an id; one that is not there is no error."""

    def tags(self, kind: str) -> dict[str, str]:
        """Returns id -> digest."""

    def identifiers(self, kind: str) -> list[str]:
        """Returns the ids of one kind, in any order."""

    def sweep(self, older_than_seconds: float) -> int:
        """Removes what is half written and that old; returns how many artifacts or uploads it was."""

    def scratch(self, kind: str) -> AbstractContextManager[Path]:
        """Returns an empty folder on a disk with room for artifacts; it goes at the end of the block."""

    def writable(self) -> bool:
        """Whether it makes sense to try to write."""
