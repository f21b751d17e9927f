"""The artifact store: one interface over a folder and over an object store."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO

from symbiont.common.artifacts.backend import Backend
from symbiont.common.artifacts.decrypted import decrypted
from symbiont.common.artifacts.layout import (
    KEYS,
    MANIFEST,
    OWNER,
    is_digest,
    is_identifier,
    open_file,
    parse_manifest,
)
from symbiont.common.artifacts.local import Content, LocalStore
from symbiont.common.artifacts.roots import parse_root
from symbiont.common.artifacts.signatures import KIND, SIGNED, SigningKey, Trust, signature_id
from symbiont.common.encryption import Seals, Spool, open_seals
from symbiont.common.encryption.notes import FolderNotes
from symbiont.common.encryption.seals import tenant_of_file
from symbiont.common.errors import AlreadyExists, IntegrityError, InvalidArgument, NotFound, Unavailable
from symbiont.common.principal import current_principal

_TRIES = 5


class ArtifactStore:
    """Artifacts under one root.

    Writing is atomic: a reader sees a whole artifact or none. Writing the same content twice is harmless. Every method
    blocks, on the disk or on the network, and may be called from any thread. Of an object store all of them may also
    raise Unavailable, when it does not answer, and FailedPrecondition, when it refuses; the message says what to set.
    """

    def __init__(
        self,
        root: Path | str,
        cache: Path | None = None,
        cache_bytes: int | None = None,
        *,
        tenant: str | None = None,
        seals: Seals | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Opens a store; nothing is made or asked before it is used.

        Args:
            root: a folder, or `s3://bucket/prefix`; `str(store.root)` opens the same store again.
            cache: folder that keeps near what an object store was asked for; by default what the variable
                `SYMBIONT_ARTIFACT_CACHE` says, else `symbiont/artifacts` in the system's cache folder.
            cache_bytes: about the most that it holds; by default what `SYMBIONT_ARTIFACT_CACHE_BYTES` says, or 20 GiB.
            tenant: whose is what is stored; by default that of whoever makes the call being served.
            seals: how it is encrypted; by default what `SYMBIONT_ENCRYPTION` and `SYMBIONT_MASTER_KEY` say, with the
                keyring in the drawer `keys`.
            trust: who must have signed a bundle before anything is read from it; None reads any.

        Raises:
            ValueError: a URL that names no place in an object store.
            FailedPrecondition: what talks to it is not installed, or no master key is set where encryption is on.
            InvalidArgument: the environment names no master key.
        """
        parsed = parse_root(root)
        self._tenant = tenant
        self._public = False
        self.trust = trust
        self._backend: Backend
        if isinstance(parsed, Path):
            self._backend = LocalStore(parsed, seals or open_seals(FolderNotes(parsed.absolute() / KEYS)))
        else:
            # Only now: what it imports takes half a second, and is not installed everywhere.
            from symbiont.common.artifacts.remote import open_remote

            self._backend = open_remote(parsed, cache, cache_bytes, seals)

    @property
    def root(self) -> Path | str:
        """The folder, absolute, or the URL."""
        return self._backend.root

    @property
    def remote(self) -> bool:
        """Whether each look costs a request to another machine."""
        return self._backend.remote

    @property
    def seals(self) -> Seals:
        """How it is encrypted."""
        return self._backend.seals

    def public(self) -> "ArtifactStore":
        """Returns this store for what anybody can have: it is stored plain, for readers that map files."""
        found = copy(self)
        found._public = True
        return found

    def like(self, kind: str, digest: str) -> "ArtifactStore":
        """Returns this store for what is made of an artifact: stored plain where that is, else for the same tenant."""
        tenant = self._tenant_of(kind, digest)
        if tenant is None:
            return self.public()
        found = copy(self)
        found._public, found._tenant = False, tenant
        return found

    def is_public(self, kind: str, digest: str) -> bool:
        """Whether an artifact is stored plain."""
        _check(kind, digest)
        return self._tenant_of(kind, digest) is None

    def beside(self, root: Path | str) -> "ArtifactStore":
        """Returns a store at another root with the keys and the tenant of this one."""
        return ArtifactStore(root, tenant=self._tenant, seals=self.seals)

    def put(self, kind: str, files: Mapping[str, Content], fields: Mapping[str, Any]) -> str:
        """Stores files and the manifest fields that describe them; returns the digest.

        Where encryption is on, equal content of two tenants has two digests, and only the tenant can tell what a digest
        is of. That of the installation itself is the same as without encryption.

        Args:
            kind: the drawer, for example `bundles`.
            files: file name -> content, a spool with it, or the path to copy it from.
            fields: JSON values; the keys `files` and `owner` are this method's own.

        Raises:
            FailedPrecondition: the tenant's keys were destroyed, or the master key cannot be used.
        """
        tenant = self._writer()
        if tenant:
            fields = {**fields, OWNER: self.seals.keyring.blind(tenant)}
        return self._backend.put(kind, files, fields, tenant)

    def manifest(self, kind: str, digest: str) -> dict[str, Any]:
        """Returns an artifact's manifest, checked against its digest.

        Raises:
            NotFound: no such artifact.
            IntegrityError: it differs from its digest, or nobody who is trusted has signed it.
        """
        manifest = self._manifest(kind, digest)
        manifest.pop(OWNER, None)
        return manifest

    def path(self, kind: str, digest: str) -> Path:
        """Returns the folder of an artifact on this machine after checking every file in it (once per process).

        What an object store holds is fetched first, and kept near for as long as this process lives, even when another
        removes it from the store. What is encrypted is decrypted into memory for as long; `open` and `read` do without.

        Raises:
            NotFound: no such artifact.
            IntegrityError: a file is missing, or differs from the manifest, or nobody who is trusted has signed it.
            FailedPrecondition: the tenant's keys were destroyed, or the memory is full.
        """
        self._check(kind, digest)
        folder = self._backend.path(kind, digest)
        if tenant_of_file(folder / MANIFEST) is None:
            return folder
        files = self._manifest(kind, digest)["files"]
        return decrypted(folder, kind, digest, files, self.seals)

    def check(self, kind: str, digest: str) -> None:
        """Checks every file of an artifact (once per process); errors as of `path`."""
        self._check(kind, digest)
        self._backend.path(kind, digest)

    def stored(self, kind: str, digest: str) -> Path:
        """Returns the folder that `path` checks: encrypted, where it is; for a store with the same keys."""
        self._check(kind, digest)
        return self._backend.path(kind, digest)

    def open(self, kind: str, digest: str, name: str) -> BinaryIO:
        """Opens a file, to be read from any place; what is encrypted is checked and decrypted as it is read.

        Raises:
            NotFound: no such artifact.
            IntegrityError: the file is missing or damaged; of an encrypted one, in whatever read meets that.
            FailedPrecondition: the tenant's keys were destroyed.
        """
        files = self._manifest(kind, digest)["files"]
        folder = self._backend.folder(kind, digest)
        plain = self._tenant_of(kind, digest) is None
        if plain:
            folder = self._backend.path(kind, digest)
        return open_file(folder, kind, digest, name, files, self.seals, plain=plain)

    def read(self, kind: str, digest: str, name: str) -> bytes:
        """Returns the bytes of one file, these very bytes checked: the check of `path` may be old.

        Raises:
            NotFound: no such artifact.
            IntegrityError: the file is missing, or differs from the manifest.
        """
        return self._backend.read(kind, digest, name, self._manifest(kind, digest)["files"])

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

    @contextmanager
    def spool(self, kind: str) -> Iterator[Spool]:
        """Gives a temporary file for what will be a file of an artifact; it goes at the end of the block.

        Where encryption is on, its key is this process's alone: nobody reads what a killed process leaves.
        """
        with self.scratch(kind) as folder:
            spool = self.seals.spool(folder / "spool")
            try:
                yield spool
            finally:
                spool.close()

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
        # Nothing in it is anybody's secret.
        signature = self.public().put(KIND, {}, {"bundle": digest, "key": key.id, "signature": key.sign(digest)})
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
        if not (self.trust and kind in SIGNED):
            return
        try:
            self.trust.check(self._backend, digest)
        except IntegrityError:
            if self._backend.exists(kind, digest):
                raise
            # Of one that is not there nobody has signed anything. A copy that a cache still has is not read either.
            raise NotFound(f"{kind}/{digest} does not exist") from None

    def _manifest(self, kind: str, digest: str) -> dict[str, Any]:
        self._check(kind, digest)
        return parse_manifest(kind, digest, self._backend.manifest_bytes(kind, digest))

    def _tenant_of(self, kind: str, digest: str) -> str | None:
        return tenant_of_file(self._backend.folder(kind, digest) / MANIFEST)

    def _writer(self) -> str | None:
        """Returns for whom to encrypt, None for nobody."""
        if self._public or not self.seals.on:
            return None
        return current_principal().tenant if self._tenant is None else self._tenant


def _check(kind: str, digest: str) -> None:
    if not is_digest(digest):
        raise NotFound(f"{kind}/{digest}: not a SHA-256 digest")
