"""In an object store the manifest makes an artifact: before it there is none, and without it there is only rubbish."""

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from symbiont.common.artifacts import MANIFEST, ArtifactStore
from symbiont.common.artifacts.cache import open_cache
from symbiont.common.artifacts.objects import Objects
from symbiont.common.artifacts.remote import RemoteStore
from symbiont.common.errors import NotFound, Unavailable


class Disturbed(Objects):
    """Somebody removes files of an artifact just after its manifest was written, some times."""

    def __init__(self, url: str, times: int) -> None:
        super().__init__(MemoryFileSystem(), url.removeprefix("memory://"), url)
        self.times = times

    def write(self, key: str, content: bytes) -> None:
        super().write(key, content)
        if self.times and key.endswith(MANIFEST):
            self.times -= 1
            self.remove(key.replace(MANIFEST, "a"))


def test_files_without_a_manifest_are_no_artifact(remote: Any) -> None:
    whole = remote.store.put("k", {"a": b"1"}, {})
    half = remote.open().put("k", {"a": b"2", "b/c": b"3"}, {})
    remote.remove(f"k/{half}/{MANIFEST}")
    reader = remote.open()
    assert reader.list("k") == [whole]
    assert not reader.exists("k", half)
    for look in (reader.path, reader.manifest):
        with pytest.raises(NotFound):
            look("k", half)


def test_what_killed_writers_left_goes_after_a_while(remote: Any) -> None:
    store = remote.store
    whole, half = store.put("k", {"a": b"1"}, {}), store.put("k", {"a": b"2", "b/c": b"3"}, {})
    store.tag("k", "name", whole)
    remote.remove(f"k/{half}/{MANIFEST}")
    before = remote.files()
    assert store.sweep() == 0
    assert remote.files() == before
    assert store.sweep(older_than_seconds=-1) == 1
    assert remote.files() == ["k.ids/name", f"k/{whole}/a", f"k/{whole}/{MANIFEST}"]
    assert store.sweep(older_than_seconds=-1) == 0


def test_an_artifact_that_is_removed_while_it_is_stored_is_stored_again(remote: Any, tmp_path: Path) -> None:
    store = RemoteStore(Disturbed(remote.root, times=2), open_cache(tmp_path / "near"))
    digest = store.put("k", {"a": b"1", "b": b"2"}, {})
    assert remote.open().read("k", digest, "a") == b"1"
    for_ever = RemoteStore(Disturbed(remote.root, times=99), open_cache(tmp_path / "near"))
    with pytest.raises(Unavailable, match="removed by others"):
        for_ever.put("k", {"a": b"1"}, {})


def test_an_id_that_is_removed_while_it_is_asked_for_can_be_given(remote: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = remote.store
    first, second = store.put("k", {"a": b"1"}, {}), store.put("k", {"a": b"2"}, {})
    store.tag("k", "name", first)
    resolve = store.resolve

    def removing(kind: str, identifier: str) -> str:
        remote.remove(f"{kind}.ids/{identifier}")
        return str(resolve(kind, identifier))

    monkeypatch.setattr(store, "resolve", removing)
    store.tag("k", "name", second)
    assert remote.open().resolve("k", "name") == second


def test_what_was_just_stored_is_near(remote: Any) -> None:
    digest = remote.store.put("k", {"a": b"1"}, {})
    for key in remote.files():
        remote.remove(key)
    assert remote.store.read("k", digest, "a") == b"1"


def test_a_prefix_of_a_kind_is_another_kind(remote: Any) -> None:
    digest = remote.store.put("catalogue-parts", {"a": b"1"}, {})
    remote.store.tag("catalogue-parts", "x", digest)
    assert remote.store.list("catalogue") == remote.store.identifiers("catalogue") == []
    assert remote.store.identifiers("catalogue-parts") == ["x"]


def test_stores_with_one_bucket_are_apart_by_their_prefix(remote: Any, tmp_path: Path) -> None:
    other = ArtifactStore(f"{remote.root}-2", tmp_path / "near")
    digest = other.put("k", {"a": b"1"}, {})
    assert remote.store.list("k") == []
    other.delete("k", digest)
