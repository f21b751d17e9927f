"""The artifact store: one interface over a folder and over an object store."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from symbiont.common.artifacts.backend import Backend
from symbiont.common.artifacts.layout import is_digest, is_identifier, parse_manifest
from symbiont.common.artifacts.local import LocalStore
from symbiont.common.artifacts.roots import parse_root
from symbiont.common.artifacts.signatures import KIND, SIGNED, SigningKey, Trust, signature_id
from symbiont.common.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable

_TRIES = 5


class ArtifactStore:
    """Artifacts under one root.

    Writing is atomic: a reader sees a whole artifact or none. Writing the same content twice is harmless. Every method
    blocks, on the disk or on the network, and may be called from any thread. Of an object store all of them may also
    raise Unavailable, when it does not answer, and FailedPrecondition, when it refuses; the message says what to set.
    """

    def __init__(
        self, root: Path | str, cache: Path | None = None, cache_bytes: int | None = None, trust: Trust | None = None
    ) -> None:
        """Opens a store; nothing is made or asked before it is used.

        Args:
            root: a folder, or `s3://bucket/prefix`; `str(store.root)` opens the same store again.
            cache: folder that keeps near what an object store was asked for; by default what the variable
                `SYMBIONT_ARTIFACT_CACHE` says, else `symbiont/artifacts` in the system's cache folder.
            cache_bytes: about the most that it holds; by default what `SYMBIONT_ARTIFACT_CACHE_BYTES` says, or 20 GiB.
            trust: who must have signed a bundle before anything is read from it; None reads any.

        Raises:
            ValueError: a URL that names no place in an object store.
            FailedPrecondition: what talks to it is not installed.
        """
        parsed = parse_root(root)
        self.trust = trust
        self._backend: Backend
        if isinstance(parsed, Path):
            self._backend = LocalStore(parsed)
        else:
            # Only now: what it imports takes half a second, and is not installed everywhere.
            from symbiont.common.artifacts.remote import open_remote

            self._backend = open_remote(parsed, cache, cache_bytes)

    @property
    def root(self) -> Path | str:
        """The folder, absolute, or the URL."""
        return self._backend.root

    @property
    def remote(self) -> bool:
        """Whether each look costs a request to another machine."""
        return self._backend.remote

    def put(self, kind: str, files: Mapping[str, Path | bytes], fields: Mapping[str, Any]) -> str:
        """Stores files and the manifest fields that describe them; returns the digest.

        Args:
            kind: the drawer, for example `bundles`.
            files: file name -> content, or the path to copy it from.
            fields: JSON values; the key `files` is this method's own.
        """
        return self._backend.put(kind, files, fields)

    def manifest(self, kind: str, digest: str) -> dict[str, Any]:
        """Returns an artifact's manifest, checked against its digest.

        Raises:
            NotFound: no such artifact.
            IntegrityError: it differs from its digest, or nobody who is trusted has signed it.
        """
        self._check(kind, digest)
        return parse_manifest(kind, digest, self._backend.manifest_bytes(kind, digest))

    def path(self, kind: str, digest: str) -> Path:
        """Returns the folder of an artifact on this machine after checking every file in it (once per process).

        What an object store holds is fetched first, and kept near for as long as this process lives, even when another
        removes it from the store.

        Raises:
            NotFound: no such artifact.
            IntegrityError: a file is missing, or differs from the manifest, or nobody who is trusted has signed it.
        """
        self._check(kind, digest)
        return self._backend.path(kind, digest)

    def read(self, kind: str, digest: str, name: str) -> bytes:
        """Returns the bytes of one file, these very bytes checked: the check of `path` may be old.

        Raises:
            NotFound: no such artifact.
            IntegrityError: the file is missing, or differs from the manifest.
        """
        return self._backend.read(kind, digest, name, self.manifest(kind, digest)["files"])

    def exists(self, kind: str, digest: str) -> bool:
        """Whether an artifact is stored here."""
        return is_digest(digest) and self._backend.exists(kind, digest)

    def stored_at(self, kind: str, digest: str) -> float:
        """Returns when an artifact was stored, in seconds of the epoch; NotFound when there is none."""
        _check(kind, digest)
        return self._backend.stored_at(kind, digest)

    def tag(self, kind: str, identifier: str, digest: str) -> None:
        """Gives an artifact an id; giving it the same one again is harmless.

        Raises:
            InvalidArgument: it is none that can be given.
            NotFound: no such artifact.
            AlreadyExists: the id stands for another.
        """
        if not is_identifier(identifier):
            raise InvalidArgument("id", f"{identifier!r} is not made of letters, digits, dots, dashes and underscores")
        if not self.exists(kind, digest):
            raise NotFound(f"{kind}/{digest} does not exist")
        for _ in range(_TRIES):
            if self._backend.create_tag(kind, identifier, digest):
                return
            try:
                standing = self.resolve(kind, identifier)
            except NotFound:
                # Removed since, or being given at this moment.
                continue
            if standing != digest:
                raise AlreadyExists(f"{kind}/{identifier} stands for another artifact; choose another id")
            return
        raise Unavailable(f"{kind}/{identifier} is given and removed by others all the time; try again")

    def resolve(self, kind: str, identifier: str) -> str:
        """Returns the digest that an id stands for; NotFound when nothing has that id."""
        if not is_identifier(identifier):
            raise NotFound(f"{kind}/{identifier} does not exist")
        return self._backend.read_tag(kind, identifier)

    def tags(self, kind: str) -> dict[str, list[str]]:
        """Returns the ids of each digest of one kind, sorted."""
        found: dict[str, list[str]] = {}
        for identifier, digest in sorted(self._backend.tags(kind).items()):
            found.setdefault(digest, []).append(identifier)
        return found

    def identifiers(self, kind: str) -> list[str]:
        """Returns the ids of one kind, sorted."""
        return sorted(self._backend.identifiers(kind))

    def list(self, kind: str) -> list[str]:
        """Returns the digests of one kind, sorted."""
        return sorted(self._backend.digests(kind))

    def delete(self, kind: str, digest: str) -> None:
        """Removes an artifact and its ids; removing what is not there is no error."""
        for identifier in self.tags(kind).get(digest, ()):
            self._backend.remove_tag(kind, identifier)
        if is_digest(digest):
            self._backend.remove(kind, digest)

    def sweep(self, older_than_seconds: float = 86_400) -> int:
        """Removes what writers that were killed have left half written; returns how many artifacts that was."""
        return self._backend.sweep(older_than_seconds)

    def scratch(self, kind: str) -> AbstractContextManager[Path]:
        """Returns an empty folder where there is room for an artifact of a kind; it goes at the end of the block."""
        return self._backend.scratch(kind)

    def writable(self) -> bool:
        """Whether it makes sense to try to write here."""
        return self._backend.writable()

    def sign(self, digest: str, key: SigningKey) -> None:
        """Signs a bundle; signing it again with the same key is harmless.

        Raises:
            NotFound: no such bundle.
        """
        if not self.exists("bundles", digest):
            raise NotFound(f"bundles/{digest} does not exist")
        signature = self.put(KIND, {}, {"bundle": digest, "key": key.id, "signature": key.sign(digest)})
        name = signature_id(digest, key.id)
        try:
            self.tag(KIND, name, signature)
        except AlreadyExists:
            # Only who has the key can make the right one, so that what stands there is wrong.
            self._backend.remove_tag(KIND, name)
            self.tag(KIND, name, signature)

    def signers(self, digest: str) -> frozenset[str]:
        """Returns the tenants whose trusted keys have signed a bundle; IntegrityError where a signature is wrong."""
        return self.trust.signers(self._backend, digest) if self.trust else frozenset()

    def _check(self, kind: str, digest: str) -> None:
        _check(kind, digest)
        # Of one that is not there nobody has signed anything, which would be the wrong answer.
        if self.trust and kind in SIGNED and self._backend.exists(kind, digest):
            self.trust.check(self._backend, digest)


def _check(kind: str, digest: str) -> None:
    if not is_digest(digest):
        raise NotFound(f"{kind}/{digest}: not a SHA-256 digest")
