"""Content-addressed folders: base models, tokenizers, datasets, bundles and checkpoints are stored this one way.

An artifact is a folder `<root>/<kind>/<digest>/` whose `manifest.json` lists the SHA-256 and size of every other file.
The digest of the artifact is the SHA-256 of that manifest's bytes, so one hex string pins every byte of it.

An artifact may have ids that people can say: `<root>/<kind>.ids/<id>` is a file that holds the digest. An id is given
once, so what it stands for never changes.
"""

import hashlib
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from symbiont.common.errors import AlreadyExists, IntegrityError, NotFound

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: object) -> bytes:
    """Returns the one byte string that stands for a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class ArtifactStore:
    """Artifacts under one folder.

    Writing is atomic: files land in a temporary folder, are synced, and the folder is renamed into place, so that a
    reader sees a whole artifact or none. Writing the same content twice is harmless.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._verified: set[Path] = set()
        self._lock = threading.Lock()

    def put(self, kind: str, files: Mapping[str, Path | bytes], fields: Mapping[str, Any]) -> str:
        """Stores files and the manifest fields that describe them; returns the digest.

        Args:
            kind: the drawer, for example `bundles`.
            files: file name -> content, or the path to copy it from.
            fields: JSON values; the key `files` is this method's own.
        """
        parent = self.root / kind
        parent.mkdir(parents=True, exist_ok=True)
        temporary = parent / f".{uuid.uuid4().hex}"
        temporary.mkdir()
        try:
            listing = {name: _store(temporary, name, content) for name, content in sorted(files.items())}
            manifest = canonical_json({**fields, "files": listing})
            _write(temporary / MANIFEST, manifest)
            digest = hashlib.sha256(manifest).hexdigest()
            self._commit(temporary, parent / digest, kind)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return digest

    def manifest(self, kind: str, digest: str) -> dict[str, Any]:
        """Returns an artifact's manifest, checked against its digest."""
        raw = self._manifest_bytes(kind, digest)
        value = json.loads(raw)
        if not isinstance(value, dict) or not isinstance(value.get("files"), dict):
            raise IntegrityError(f"{kind}/{digest}: the manifest lists no files")
        return value

    def path(self, kind: str, digest: str) -> Path:
        """Returns the folder of an artifact after checking every file in it (once per process).

        Raises:
            NotFound: no such artifact.
            IntegrityError: a file is missing, or differs from the manifest.
        """
        folder = self.root / kind / digest
        with self._lock:
            if folder in self._verified and folder.exists():
                return folder
        for name, entry in self.manifest(kind, digest)["files"].items():
            if not _NAME.fullmatch(name):
                raise IntegrityError(f"{kind}/{digest}: file name {name!r} is not allowed")
            file = folder / name
            if not file.is_file() or file.is_symlink():
                raise IntegrityError(f"{kind}/{digest}: file {name} is missing")
            if file.stat().st_size != entry["size"] or file_digest(file) != entry["sha256"]:
                raise IntegrityError(f"{kind}/{digest}: file {name} differs from its digest")
        with self._lock:
            self._verified.add(folder)
        return folder

    def exists(self, kind: str, digest: str) -> bool:
        """Whether an artifact is stored here."""
        return bool(_DIGEST.fullmatch(digest)) and (self.root / kind / digest / MANIFEST).is_file()

    def tag(self, kind: str, identifier: str, digest: str) -> None:
        """Gives an artifact an id; giving it the same one again is harmless.

        Raises:
            NotFound: no such artifact.
            AlreadyExists: the id stands for another.
        """
        if not self.exists(kind, digest):
            raise NotFound(f"{kind}/{digest} does not exist")
        folder = self._ids(kind)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{uuid.uuid4().hex}"
        _write(temporary, digest.encode())
        try:
            # A link fails where the name is taken, a rename would not.
            os.link(temporary, folder / identifier)
        except FileExistsError:
            if self.resolve(kind, identifier) != digest:
                raise AlreadyExists(f"{kind}/{identifier} stands for another artifact; choose another id") from None
        finally:
            temporary.unlink()
        _sync_folder(folder)

    def resolve(self, kind: str, identifier: str) -> str:
        """Returns the digest that an id stands for; NotFound when nothing has that id."""
        missing = NotFound(f"{kind}/{identifier} does not exist")
        if not _NAME.fullmatch(identifier) or "/" in identifier:
            raise missing
        try:
            return (self._ids(kind) / identifier).read_text().strip()
        except FileNotFoundError:
            raise missing from None

    def tags(self, kind: str) -> dict[str, list[str]]:
        """Returns the ids of each digest of one kind, sorted."""
        folder = self._ids(kind)
        found: dict[str, list[str]] = {}
        for name in self.identifiers(kind):
            # One that somebody else removes in this moment is gone.
            with suppress(FileNotFoundError):
                found.setdefault((folder / name).read_text().strip(), []).append(name)
        return found

    def identifiers(self, kind: str) -> list[str]:
        """Returns the ids of one kind, sorted."""
        folder = self._ids(kind)
        return sorted(file.name for file in folder.glob("[!.]*")) if folder.is_dir() else []

    def list(self, kind: str) -> list[str]:
        """Returns the digests of one kind, sorted."""
        parent = self.root / kind
        return sorted(p.name for p in parent.iterdir() if _DIGEST.fullmatch(p.name)) if parent.is_dir() else []

    def delete(self, kind: str, digest: str) -> None:
        """Removes an artifact and its ids; removing what is not there is no error."""
        for identifier in self.tags(kind).get(digest, ()):
            (self._ids(kind) / identifier).unlink(missing_ok=True)
        if _DIGEST.fullmatch(digest):
            with self._lock:
                self._verified.discard(self.root / kind / digest)
            shutil.rmtree(self.root / kind / digest, ignore_errors=True)

    def sweep(self, older_than_seconds: float = 86_400) -> int:
        """Removes what writers that were killed have left half written; returns how many folders."""
        left = [
            p for p in self.root.glob("*/.*") if p.is_dir() and time.time() - p.stat().st_mtime > older_than_seconds
        ]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)

    def _ids(self, kind: str) -> Path:
        return self.root / f"{kind}.ids"

    def _manifest_bytes(self, kind: str, digest: str) -> bytes:
        if not _DIGEST.fullmatch(digest):
            raise NotFound(f"{kind}/{digest}: not a SHA-256 digest")
        try:
            raw = (self.root / kind / digest / MANIFEST).read_bytes()
        except FileNotFoundError as exc:
            raise NotFound(f"{kind}/{digest}: not in the artifact store {self.root}") from exc
        if hashlib.sha256(raw).hexdigest() != digest:
            raise IntegrityError(f"{kind}/{digest}: the manifest differs from its digest")
        return raw

    def _commit(self, temporary: Path, final: Path, kind: str) -> None:
        _sync_folder(temporary)
        try:
            temporary.rename(final)
        except OSError:
            # The same content is there already, or was; what was damaged since is replaced by what is whole.
            if not final.is_dir():
                raise
            if not self._is_whole(kind, final.name):
                final.rename(temporary.with_name(f"{temporary.name}.damaged"))
                temporary.rename(final)
                shutil.rmtree(temporary.with_name(f"{temporary.name}.damaged"), ignore_errors=True)
        _sync_folder(final.parent)

    def _is_whole(self, kind: str, digest: str) -> bool:
        with self._lock:
            self._verified.discard(self.root / kind / digest)
        try:
            self.path(kind, digest)
        except (IntegrityError, NotFound):
            return False
        return True


def _store(folder: Path, name: str, content: Path | bytes) -> dict[str, Any]:
    if not _NAME.fullmatch(name) or name == MANIFEST:
        raise ValueError(f"file name {name!r} is not allowed in an artifact")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        _write(target, content)
    else:
        shutil.copyfile(content, target)
        with target.open("rb") as stream:
            os.fsync(stream.fileno())
    return {"sha256": file_digest(target), "size": target.stat().st_size}


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
