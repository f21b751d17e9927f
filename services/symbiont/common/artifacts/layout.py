"""What an artifact is, wherever it lies: its names, its manifest, and the checks that its bytes must pass."""

import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from symbiont.common.encryption import Seals
from symbiont.common.errors import IntegrityError, SymbiontError
from symbiont.common.resources import MARK

MANIFEST = "manifest.json"
# The drawer of the keyring.
KEYS = "keys"
# Field of a manifest that makes digests of equal content differ between tenants.
OWNER = "owner"
_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return measure(stream)[0]


def measure(stream: BinaryIO, most: float = math.inf) -> tuple[str, int]:
    """Returns the SHA-256 of what is left of a stream, in hex, and how many bytes that are; of no more than `most`."""
    digest, size = hashlib.sha256(), 0
    while size <= most and (chunk := stream.read(_CHUNK)):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def place_of(kind: str, name: str, digest: str) -> str:
    """Returns what an encrypted file is bound to: its drawer, its name, and the SHA-256 of its content."""
    return f"{kind}/{name}/{digest}"


def open_file(
    folder: Path, kind: str, digest: str, name: str, files: Mapping[str, Any], seals: Seals, *, plain: bool = True
) -> BinaryIO:
    """Opens a file of an artifact, decrypted; IntegrityError where it is not listed, or cannot be read.

    A file that is plain is not checked; without `plain` it is refused.
    """
    if name not in files:
        raise IntegrityError(f"{kind}/{digest}: the manifest lists no file {name}")
    try:
        stream = (folder / name).open("rb")
    except OSError as exc:
        raise IntegrityError(f"{kind}/{digest}: file {name} cannot be read") from exc
    try:
        return seals.open(
            stream, place_of(kind, name, files[name]["sha256"]), f"{kind}/{digest}: file {name}", plain=plain
        )
    except SymbiontError:
        stream.close()
        raise


def open_manifest(raw: bytes, kind: str, digest: str, seals: Seals) -> bytes:
    """Returns the bytes of a manifest, decrypted, from those of its file."""
    what = f"{kind}/{digest}: the manifest"
    with seals.open(io.BytesIO(raw), place_of(kind, MANIFEST, digest), what) as stream:
        return stream.read()


def canonical_json(value: object) -> bytes:
    """Returns the one byte string that stands for a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def is_digest(text: str) -> bool:
    """Whether a text can be the digest of an artifact."""
    return bool(_DIGEST.fullmatch(text))


def is_identifier(text: str) -> bool:
    """Whether a text can be the id of an artifact; a tenant may stand before it."""
    tenant, mark, rest = text.rpartition(MARK)
    return all(bool(_NAME.fullmatch(part)) and "/" not in part for part in ((tenant, rest) if mark else (rest,)))


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


def check_files(folder: Path, kind: str, digest: str, files: Mapping[str, Any], seals: Seals) -> None:
    """Raises IntegrityError where a file of a folder is missing, or is not what the manifest says."""
    for name, entry in files.items():
        file = folder / name
        if not file.is_file() or file.is_symlink():
            raise IntegrityError(f"{kind}/{digest}: file {name} is missing")
        with open_file(folder, kind, digest, name, files, seals) as stream:
            if measure(stream, entry["size"]) != (entry["sha256"], entry["size"]):
                raise IntegrityError(f"{kind}/{digest}: file {name} differs from its digest")


def read_checked(folder: Path, kind: str, digest: str, name: str, files: Mapping[str, Any], seals: Seals) -> bytes:
    """Returns the bytes of a file; IntegrityError where these are not what the manifest says."""
    if name not in files:
        raise IntegrityError(f"{kind}/{digest}: the manifest lists no file {name}")
    file = folder / name
    try:
        # Before it is opened: a pipe or a device in its place would be read for ever.
        if not file.is_file() or file.is_symlink():
            raise IntegrityError(f"{kind}/{digest}: file {name} is missing")
        with open_file(folder, kind, digest, name, files, seals) as stream:
            content = stream.read(files[name]["size"] + 1)
    except OSError as exc:
        raise IntegrityError(f"{kind}/{digest}: file {name} cannot be read") from exc
    if hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
        raise IntegrityError(f"{kind}/{digest}: file {name} differs from its digest")
    return content
