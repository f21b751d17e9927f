"""Keys for tests: stores that encrypt, and looking for texts in every byte of a folder."""

import base64
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from symbiont.common.artifacts import ArtifactStore, open_keyring
from symbiont.common.encryption import Keyring, Seals
from symbiont.common.encryption.key_file import KeyFile


def make_key(path: Path) -> str:
    """Makes a key file; returns the setting that names it."""
    KeyFile(path).make()
    return f"file:{path}"


def keyring_of(root: Path | str, key: Path) -> Keyring:
    """Returns the keyring of a root, by a key file that is made where there is none."""
    return open_keyring(root, make_key(key))


def sealed_store(root: Path | str, key: Path, tenant: str = "", cache: Path | None = None) -> ArtifactStore:
    """Returns a store that encrypts for a tenant."""
    return ArtifactStore(root, cache, tenant=tenant, seals=Seals(keyring_of(root, key), on=True))


def places_with(texts: Sequence[str], folder: Path) -> list[str]:
    """Returns where in a folder any of the texts is: as UTF-8, UTF-16 or UTF-32, in base64, and in what is packed."""
    needles = [needle for text in texts for needle in _forms(text)]
    return [name for name, content in _contents(folder) if any(needle in content for needle in needles)]


def _forms(text: str) -> Iterator[bytes]:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
        raw = text.encode(encoding)
        yield raw
        # What surrounds it moves it against the groups of three bytes; what no neighbour changes is sought.
        for shift in range(3):
            whole = base64.b64encode(bytes(shift) + raw).decode()
            yield whole[4 if shift else 0 : len(whole) - 4].encode()


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield from _unpacked(str(path.relative_to(folder)), path.read_bytes())


def _unpacked(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member in packed.namelist():
                yield from _unpacked(f"{name}/{member}", packed.read(member))
    if content.startswith(b"\x1f\x8b"):
        yield f"{name}/gzip", gzip.decompress(content)
    if content.startswith((b"\x78\x01", b"\x78\x9c", b"\x78\xda")):
        yield f"{name}/zlib", zlib.decompress(content)
