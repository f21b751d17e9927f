"""What an artifact is, wherever it lies: its names, its manifest, and the checks that its bytes must pass."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symbiont.common.errors import IntegrityError

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


def is_digest(text: str) -> bool:
    """Whether a text can be the digest of an artifact."""
    return bool(_DIGEST.fullmatch(text))


def is_identifier(text: str) -> bool:
    """Whether a text can be the id of an artifact."""
    return bool(_NAME.fullmatch(text)) and "/" not in text


def is_file_name(text: str) -> bool:
    """Whether a text can be the path of a file inside an artifact: it never leads out of it."""
    return bool(_NAME.fullmatch(text))


def parse_manifest(kind: str, digest: str, raw: bytes) -> dict[str, Any]:
    """Returns a manifest from its bytes.

    Raises:
        IntegrityError: the bytes are not those of the digest, or they list no files.
    """
    if hashlib.sha256(raw).hexdigest() != digest:
        raise IntegrityError(f"{kind}/{digest}: the manifest differs from its digest")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError(f"{kind}/{digest}: the manifest is no JSON") from exc
    if not isinstance(value, dict) or not isinstance(value.get("files"), dict):
        raise IntegrityError(f"{kind}/{digest}: the manifest lists no files")
    for name, entry in value["files"].items():
        if not is_file_name(name):
            raise IntegrityError(f"{kind}/{digest}: file name {name!r} is not allowed")
        if (
            not isinstance(entry, dict)
            or type(entry.get("size")) is not int
            or not isinstance(entry.get("sha256"), str)
        ):
            raise IntegrityError(f"{kind}/{digest}: the manifest does not say size and SHA-256 of {name}")
    return value


def check_files(folder: Path, kind: str, digest: str, files: Mapping[str, Any]) -> None:
    """Raises IntegrityError where a file of a folder is missing, or is not what the manifest says."""
    for name, entry in files.items():
        file = folder / name
        if not file.is_file() or file.is_symlink():
            raise IntegrityError(f"{kind}/{digest}: file {name} is missing")
        if file.stat().st_size != entry["size"] or file_digest(file) != entry["sha256"]:
            raise IntegrityError(f"{kind}/{digest}: file {name} differs from its digest")


def read_checked(folder: Path, kind: str, digest: str, name: str, files: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a file; IntegrityError where these are not what the manifest says."""
    if name not in files:
        raise IntegrityError(f"{kind}/{digest}: the manifest lists no file {name}")
    file = folder / name
    try:
        # Before it is opened: a pipe or a device in its place would be read for ever.
        if not file.is_file() or file.is_symlink() or file.stat().st_size != files[name]["size"]:
            raise IntegrityError(f"{kind}/{digest}: file {name} is missing, or differs from its digest")
        content = file.read_bytes()
    except OSError as exc:
        raise IntegrityError(f"{kind}/{digest}: file {name} cannot be read") from exc
    if hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
        raise IntegrityError(f"{kind}/{digest}: file {name} differs from its digest")
    return content
