"""Artifacts in a folder of this machine."""

import hashlib
import io
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from symbiont.common.artifacts.layout import (
    MANIFEST,
    canonical_json,
    check_files,
    is_digest,
    is_file_name,
    measure,
    open_manifest,
    parse_manifest,
    place_of,
    read_checked,
)
from symbiont.common.encryption import PLAIN, Seals, Spool
from symbiont.common.encryption.seals import tenant_of_file
from symbiont.common.errors import IntegrityError, NotFound

Content = Path | bytes | Spool
_PIECE = 1 << 20


class LocalStore:
    """Writing is atomic: files land in a temporary folder, are synced, and the folder is renamed into place."""

    remote = False

    def __init__(self, root: Path, seals: Seals) -> None:
        self.root = root.absolute()
        self.seals = seals
        self._verified: set[Path] = set()
        self._lock = threading.Lock()

    def put(self, kind: str, files: Mapping[str, Content], fields: Mapping[str, Any], tenant: str | None = None) -> str:
        """Stores files and the manifest fields that describe them; returns the digest."""
        with self.scratch(kind) as temporary:
            digest = stage(temporary, files, fields, Sealing(self.seals, tenant, kind))
            self.commit(temporary, kind, digest)
        return digest

    @contextmanager
    def scratch(self, kind: str) -> Iterator[Path]:
        """Makes a folder beside the artifacts of a kind, and removes it; what a killed process leaves is swept."""
        folder = self.root / kind / f".{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, temporary: Path, kind: str, digest: str) -> None:
        """Renames a folder that is whole into its place, unless another that is whole is there."""
        final = self.root / kind / digest
        _sync_folder(temporary)
        try:
            temporary.rename(final)
        except OSError:
            # The same content is there already, or was; what was damaged since is replaced by what is whole, and plain
            # files by encrypted ones.
            if not final.is_dir():
                raise
            if not self._is_whole(kind, digest) or _is_plain(final) > _is_plain(temporary):
                damaged = temporary.with_name(f"{temporary.name}.damaged")
                final.rename(damaged)
                temporary.rename(final)
                shutil.rmtree(damaged, ignore_errors=True)
        _sync_folder(final.parent)

    def manifest_bytes(self, kind: str, digest: str) -> bytes:
        """Returns the bytes of a manifest, unchecked."""
        try:
            raw = (self.root / kind / digest / MANIFEST).read_bytes()
        except FileNotFoundError as exc:
            raise NotFound(f"{kind}/{digest}: not in the artifact store {self.root}") from exc
        return open_manifest(raw, kind, digest, self.seals)

    def folder(self, kind: str, digest: str) -> Path:
        """Returns the folder of an artifact, whose files were not checked."""
        return self.root / kind / digest

    def path(self, kind: str, digest: str) -> Path:
        """Returns the folder of an artifact after checking every file in it, once per process."""
        folder = self.root / kind / digest
        with self._lock:
            if folder in self._verified and folder.exists():
                return folder
        manifest = parse_manifest(kind, digest, self.manifest_bytes(kind, digest))
        check_files(folder, kind, digest, manifest["files"], self.seals)
        self.trust(kind, digest)
        return folder

    def trust(self, kind: str, digest: str) -> None:
        """Takes the files of an artifact as checked."""
        with self._lock:
            self._verified.add(self.root / kind / digest)

    def doubt(self, kind: str, digest: str) -> None:
        """Has the files of an artifact checked again before they are used."""
        with self._lock:
            self._verified.discard(self.root / kind / digest)

    def read(self, kind: str, digest: str, name: str, files: Mapping[str, Any]) -> bytes:
        """Returns the bytes of a file, checked each time."""
        return read_checked(self.root / kind / digest, kind, digest, name, files, self.seals)

    def exists(self, kind: str, digest: str) -> bool:
        """Whether an artifact is stored here."""
        return (self.root / kind / digest / MANIFEST).is_file()

    def stored_at(self, kind: str, digest: str) -> float:
        """Returns when an artifact was stored."""
        try:
            return (self.root / kind / digest).stat().st_mtime
        except FileNotFoundError as exc:
            raise NotFound(f"{kind}/{digest}: not in the artifact store {self.root}") from exc

    def digests(self, kind: str) -> list[str]:
        """Returns the digests of one kind."""
        parent = self.root / kind
        return [p.name for p in parent.iterdir() if is_digest(p.name)] if parent.is_dir() else []

    def remove(self, kind: str, digest: str) -> None:
        """Removes an artifact."""
        self.doubt(kind, digest)
        shutil.rmtree(self.root / kind / digest, ignore_errors=True)

    def create_tag(self, kind: str, identifier: str, digest: str) -> bool:
        """Writes an id where there is none of that name."""
        folder = self._ids(kind)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{uuid.uuid4().hex}"
        _write(temporary, digest.encode())
        try:
            # A link fails where the name is taken, a rename would not.
            os.link(temporary, folder / identifier)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        _sync_folder(folder)
        return True

    def read_tag(self, kind: str, identifier: str) -> str:
        """Returns the digest of an id."""
        try:
            return (self._ids(kind) / identifier).read_text().strip()
        except FileNotFoundError:
            raise NotFound(f"{kind}/{identifier} does not exist") from None

    def remove_tag(self, kind: str, identifier: str) -> None:
        """Removes an id."""
        (self._ids(kind) / identifier).unlink(missing_ok=True)

    def tags(self, kind: str) -> dict[str, str]:
        """Returns id -> digest."""
        found = {}
        for name in self.identifiers(kind):
            # One that somebody else removes in this moment is gone.
            with suppress(NotFound):
                found[name] = self.read_tag(kind, name)
        return found

    def identifiers(self, kind: str) -> list[str]:
        """Returns the ids of one kind."""
        folder = self._ids(kind)
        return [file.name for file in folder.glob("[!.]*")] if folder.is_dir() else []

    def sweep(self, older_than_seconds: float) -> int:
        """Removes what writers that were killed have left half written; returns how many folders."""
        left = [
            p for p in self.root.glob("*/.*") if p.is_dir() and time.time() - p.stat().st_mtime > older_than_seconds
        ]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)

    def writable(self) -> bool:
        """Whether this process may write here."""
        return os.access(self.root, os.W_OK)

    def _ids(self, kind: str) -> Path:
        return self.root / f"{kind}.ids"

    def _is_whole(self, kind: str, digest: str) -> bool:
        self.doubt(kind, digest)
        try:
            self.path(kind, digest)
        except (IntegrityError, NotFound):
            return False
        return True


@dataclass(frozen=True)
class Sealing:
    """How the files of an artifact are written: encrypted for a tenant, or plain where that is None."""

    seals: Seals
    tenant: str | None
    kind: str

    def write(self, path: Path, name: str, digest: str, content: BinaryIO) -> None:
        """Writes a file of the artifact, whose content has that SHA-256, and syncs it."""
        with path.open("wb") as stream:
            if self.tenant is None:
                shutil.copyfileobj(content, stream, _PIECE)
            else:
                out = self.seals.writer(stream, self.tenant, place_of(self.kind, name, digest))
                while piece := content.read(_PIECE):
                    out.write(piece)
                out.finish()
            stream.flush()
            os.fsync(stream.fileno())


AS_IT_IS = Sealing(PLAIN, None, "")


def stage(folder: Path, files: Mapping[str, Content], fields: Mapping[str, Any], sealing: Sealing = AS_IT_IS) -> str:
    """Writes the files of an artifact and their manifest into an empty folder; returns the digest.

    Raises:
        ValueError: a name is not allowed in an artifact.
    """
    listing = {name: _store(folder, name, content, sealing) for name, content in sorted(files.items())}
    manifest = canonical_json({**fields, "files": listing})
    digest = hashlib.sha256(manifest).hexdigest()
    sealing.write(folder / MANIFEST, MANIFEST, digest, io.BytesIO(manifest))
    return digest


def _store(folder: Path, name: str, content: Content, sealing: Sealing) -> dict[str, Any]:
    if not is_file_name(name) or name == MANIFEST:
        raise ValueError(f"file name {name!r} is not allowed in an artifact")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with _opened(content) as stream:
        digest, size = (content.sha256, content.size) if isinstance(content, Spool) else measure(stream)
        stream.seek(0)
        sealing.write(target, name, digest, stream)
    return {"sha256": digest, "size": size}


def _opened(content: Content) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    return content.open() if isinstance(content, Spool) else content.open("rb")


def _is_plain(folder: Path) -> bool:
    return tenant_of_file(folder / MANIFEST) is None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
