"""An artifact is whole or absent, and every byte of it is pinned by its digest: in a folder and in an object store."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from symbiont.common.artifacts import MANIFEST, ArtifactStore, canonical_json
from symbiont.common.errors import AlreadyExists, IntegrityError, InvalidArgument, NotFound


def test_what_was_put_is_found_under_the_digest_of_its_manifest(place: Any, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"1234")
    digest = place.store.put("bundles", {"a.json": b"{}", "sub/weights.bin": source}, {"kind": "bundle"})
    for store in (place.store, place.open()):
        folder = store.path("bundles", digest)
        assert (folder / "sub/weights.bin").read_bytes() == b"1234"
        assert hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest() == digest
        manifest = store.manifest("bundles", digest)
        assert manifest["kind"] == "bundle"
        assert manifest["files"]["sub/weights.bin"] == {"sha256": hashlib.sha256(b"1234").hexdigest(), "size": 4}
        assert store.read("bundles", digest, "sub/weights.bin") == b"1234"
        assert store.exists("bundles", digest)
        assert abs(store.stored_at("bundles", digest) - time.time()) < 60


def test_a_store_is_opened_again_by_its_root(place: Any) -> None:
    digest = place.store.put("k", {"a": b"1"}, {})
    again = ArtifactStore(str(place.store.root), place.store.path("k", digest).parents[1])
    assert again.root == place.store.root
    assert again.list("k") == [digest]


def test_equal_content_has_one_digest_however_it_comes(place: Any) -> None:
    store = place.store
    first = store.put("k", {"a": b"1", "b": b"2"}, {"x": 1, "y": "一"})
    assert store.put("k", {"b": b"2", "a": b"1"}, {"y": "一", "x": 1}) == first
    assert store.list("k") == [first]
    assert place.files() == [f"k/{first}/{name}" for name in ("a", "b", MANIFEST)]


def test_writers_of_the_same_content_do_not_disturb_each_other(tmp_path: Path) -> None:
    # fsspec's memory is made for one thread: of object stores this is tested on a real one.
    store = ArtifactStore(tmp_path)
    digests: list[str] = []
    threads = [Thread(target=lambda: digests.append(store.put("k", {"a": b"1" * 100_000}, {}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1
    assert store.path("k", digests[0])


def test_canonical_json_is_one_string_for_one_value() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", ".hidden", MANIFEST, "", "a//b"])
def test_a_file_name_that_leaves_the_folder_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        store.put("k", {name: b""}, {})
    assert store.list("k") == []


def test_a_manifest_whose_names_leave_the_folder_is_refused(place: Any) -> None:
    manifest = canonical_json({"files": {"../../x": {"sha256": hashlib.sha256(b"").hexdigest(), "size": 0}}})
    digest = hashlib.sha256(manifest).hexdigest()
    place.write(f"k/{digest}/{MANIFEST}", manifest)
    with pytest.raises(IntegrityError, match="not allowed"):
        place.open().path("k", digest)


@pytest.mark.parametrize("change", [{"a": b"2"}, {"a": b"11"}, {"a": None}, {MANIFEST: b"{}"}])
def test_damage_is_found_before_use(place: Any, change: dict[str, bytes | None]) -> None:
    digest = place.store.put("k", {"a": b"1"}, {})
    for name, content in change.items():
        if content is None:
            place.remove(f"k/{digest}/{name}")
        else:
            place.write(f"k/{digest}/{name}", content)
    with pytest.raises(IntegrityError, match=r"(a is missing|differs from its digest)$"):
        place.open().path("k", digest)


def test_a_link_is_no_file(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    folder = tmp_path / "k" / store.put("k", {"a": b"1"}, {})
    (folder / "a").rename(folder / "elsewhere")
    (folder / "a").symlink_to(folder / "elsewhere")
    with pytest.raises(IntegrityError, match="missing"):
        ArtifactStore(tmp_path).path("k", folder.name)


@pytest.mark.parametrize("digest", ["0" * 64, "short", "../../etc", "A" * 64])
def test_what_is_not_there_is_not_found(store: ArtifactStore, digest: str) -> None:
    assert not store.exists("k", digest)
    for look in (store.path, store.manifest, store.stored_at, lambda kind, key: store.read(kind, key, "a")):
        with pytest.raises(NotFound, match=f"^k/{digest}: not"):
            look("k", digest)
    store.delete("k", digest)


def test_a_file_that_the_manifest_does_not_list_is_not_read(place: Any) -> None:
    digest = place.store.put("k", {"a": b"1"}, {})
    place.write(f"k/{digest}/b", b"")
    with pytest.raises(IntegrityError, match="lists no file b"):
        place.store.read("k", digest, "b")


def test_a_deleted_artifact_is_gone_even_if_it_was_verified(place: Any) -> None:
    digest = place.store.put("k", {"a": b"1"}, {})
    place.store.path("k", digest)
    place.store.delete("k", digest)
    assert place.store.list("k") == place.files() == []
    with pytest.raises(NotFound):
        place.store.path("k", digest)


def test_a_listing_leaves_out_what_is_no_artifact(place: Any) -> None:
    digest = place.store.put("k", {"a": b"1"}, {})
    place.write("k/.half-written/a", b"")
    place.write("k/other/a", b"")
    place.write(f"kind/{digest}/{MANIFEST}", b"")
    assert place.store.list("k") == [digest]
    assert place.store.list("nothing-here") == []


def test_a_damaged_artifact_is_mended_by_storing_it_again(place: Any) -> None:
    digest = place.store.put("bundles", {"a": b"whole"}, {})
    place.store.path("bundles", digest)
    place.write(f"bundles/{digest}/a", b"harmed")
    assert place.store.put("bundles", {"a": b"whole"}, {}) == digest
    assert (place.open().path("bundles", digest) / "a").read_bytes() == b"whole"
    assert place.files() == [f"bundles/{digest}/a", f"bundles/{digest}/{MANIFEST}"]


def test_an_id_is_given_once_and_goes_with_its_artifact(store: ArtifactStore) -> None:
    first, second = store.put("k", {"a": b"1"}, {}), store.put("k", {"a": b"2"}, {})
    for identifier in ("bank", "clinic", "bank"):
        store.tag("k", identifier, first)
    assert store.resolve("k", "bank") == first
    assert store.tags("k") == {first: ["bank", "clinic"]}
    assert store.identifiers("k") == ["bank", "clinic"]
    with pytest.raises(AlreadyExists, match="bank"):
        store.tag("k", "bank", second)
    with pytest.raises(NotFound):
        store.tag("k", "nobody", "0" * 64)
    with pytest.raises(InvalidArgument, match="letters"):
        store.tag("k", "../k", first)
    for identifier in ("nobody", "", "../k", "a/b"):
        with pytest.raises(NotFound):
            store.resolve("k", identifier)
    assert store.list("k") == sorted([first, second])
    store.delete("k", first)
    assert store.tags("k") == {}
    store.tag("k", "bank", second)
    assert store.resolve("k", "bank") == second


def test_of_writers_that_want_one_id_one_gets_it(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digests = [store.put("k", {"a": str(i).encode()}, {}) for i in range(8)]
    refused: list[str] = []

    def tag(digest: str) -> None:
        try:
            store.tag("k", "bank", digest)
        except AlreadyExists:
            refused.append(digest)

    threads = [Thread(target=tag, args=[digest]) for digest in digests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {store.resolve("k", "bank"), *refused} == set(digests)
    assert len(refused) == 7


def test_a_scratch_folder_is_gone_after_use(store: ArtifactStore) -> None:
    with store.scratch("k") as folder:
        (folder / "a").write_bytes(b"1")
        digest = store.put("k", {"a": folder / "a"}, {})
    assert not folder.exists()
    assert store.read("k", digest, "a") == b"1"
    assert store.list("k") == [digest]


def test_what_killed_writers_left_goes_after_a_while(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    digest = store.put("bundles", {"a": b"whole"}, {})
    left = tmp_path / "bundles" / ".0123"
    left.mkdir()
    assert store.sweep() == 0
    assert left.is_dir()
    assert store.sweep(older_than_seconds=-1) == 1
    assert store.list("bundles") == [digest]
    assert not left.exists()


def test_a_folder_needs_nothing_of_what_object_stores_need(tmp_path: Path) -> None:
    program = (
        "import sys; from symbiont.common.artifacts import ArtifactStore; store = ArtifactStore(sys.argv[1]); "
        "store.path('k', store.put('k', {'a': b'1'}, {})); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program, tmp_path], check=True, capture_output=True, text=True
    ).stdout.split()
    assert {"fsspec", "s3fs", "aiobotocore", "botocore", "aiohttp", "asyncio"}.isdisjoint(loaded)
