"""An artifact store that somebody else can write to: what does not fit is refused, and nothing is waited for."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symbiont.bundle import load_bundle, read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound

Plant = Callable[[bytes], str]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def plant(store: ArtifactStore) -> Plant:
    def write(manifest: bytes) -> str:
        digest = hashlib.sha256(manifest).hexdigest()
        folder = Path(store.root) / "bundles" / digest
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes(manifest)
        return digest

    return write


ENTRY = {"size": 1, "sha256": "0" * 64}
MANIFESTS: dict[str, Any] = {
    "no JSON": b"{",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep inside": b'{"files": {}, "x": ' + b"[" * 900 + b"]" * 900 + b"}",
    "text that is none": b"\xff\xfe",
    "a list": b"[]",
    "no files": b"{}",
    "files that are a list": b'{"files": []}',
    "a file without a size": {"files": {"a": {"sha256": "0" * 64}}},
    "a size of text": {"files": {"a": {"size": "1", "sha256": "0" * 64}}},
    "an entry that is a number": {"files": {"a": 1}},
    "a file above": {"files": {"../../../etc/passwd": ENTRY}},
    "a file from the root": {"files": {"/etc/passwd": ENTRY}},
    "a file in a hidden folder": {"files": {".ssh/id": ENTRY}},
    "a file with a NUL": {"files": {"a\0b": ENTRY}},
    "a number of many digits": b'{"files": {}, "x": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_made_to_harm(store: ArtifactStore, plant: Plant, name: str) -> None:
    content = MANIFESTS[name]
    digest = plant(content if isinstance(content, bytes) else json.dumps(content).encode())
    for read in (read_manifest, load_bundle):
        with pytest.raises(IntegrityError):
            read(store, digest)


@pytest.mark.parametrize("kind", ["pipe", "link", "device", "folder", "longer"])
def test_a_file_that_is_no_file(store: ArtifactStore, tmp_path: Path, kind: str) -> None:
    digest = store.put("bundles", {"head.safetensors": b"weights"}, {})
    file = Path(store.root) / "bundles" / digest / "head.safetensors"
    file.unlink()
    (tmp_path / "weights").write_bytes(b"weights")
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "link":
            file.symlink_to(tmp_path / "weights")
        case "device":
            file.symlink_to("/dev/zero")
        case "folder":
            file.mkdir()
        case "longer":
            with file.open("wb") as stream:
                stream.truncate(1 << 40)
    for read in (lambda: store.read("bundles", digest, "head.safetensors"), lambda: store.path("bundles", digest)):
        with pytest.raises(IntegrityError, match=r"head\.safetensors"):
            read()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", ".x", "a\0", "a/./b", "ü", "a b"])
def test_names_that_lead_elsewhere_are_not_written(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="not allowed in an artifact"):
        store.put("bundles", {name: b"x"}, {})
    assert store.list("bundles") == []
    digest = store.put("bundles", {"a": b"x"}, {})
    with pytest.raises(InvalidArgument):
        store.tag("bundles", name, digest)
    with pytest.raises(NotFound):
        store.resolve("bundles", name)
    with pytest.raises(NotFound):
        store.manifest("bundles", name)
