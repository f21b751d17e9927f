"""What was read from an object store is near, right by its digest, shared by processes, and bounded."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.artifacts.cache import DEFAULT_BYTES, Cache, default_folder, open_cache
from symbiont.common.artifacts.local import stage
from symbiont.common.artifacts.uses import uses_of
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound

HOLDS = """
import sys
from pathlib import Path
from symbiont.common.artifacts.uses import uses_of
uses_of(Path(sys.argv[1])).take(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def near(cache: Path) -> set[str]:
    return {folder.name for folder in cache.glob("k/[!.]*")}


def put(remote: Any, *contents: bytes) -> list[str]:
    """Stores artifacts from another machine; returns their digests."""
    store = remote.open()
    return [store.put("k", {"a": content}, {}) for content in contents]


def test_what_is_near_is_used_though_the_store_is_away(remote: Any, tmp_path: Path) -> None:
    (digest,) = put(remote, b"1")
    ArtifactStore(remote.root, tmp_path / "near").path("k", digest)
    for key in remote.files():
        remote.remove(key)
    again = ArtifactStore(remote.root, tmp_path / "near")
    assert (again.path("k", digest) / "a").read_bytes() == again.read("k", digest, "a") == b"1"
    assert "a" in again.manifest("k", digest)["files"]
    assert not again.exists("k", digest)


@pytest.mark.parametrize("name", ["a", "manifest.json"])
def test_a_file_that_was_damaged_near_is_fetched_again(remote: Any, tmp_path: Path, name: str) -> None:
    (digest,) = put(remote, b"1")
    folder = ArtifactStore(remote.root, tmp_path / "near").path("k", digest)
    (folder / name).write_bytes(b"harmed")
    assert (ArtifactStore(remote.root, tmp_path / "near").path("k", digest) / "a").read_bytes() == b"1"
    (folder / name).unlink()
    assert ArtifactStore(remote.root, tmp_path / "near").read("k", digest, "a") == b"1"
    assert near(tmp_path / "near") == {digest}


def test_a_file_that_is_damaged_after_its_check_is_fetched_again(remote: Any, tmp_path: Path) -> None:
    (digest,) = put(remote, b"1")
    store = ArtifactStore(remote.root, tmp_path / "near")
    (store.path("k", digest) / "a").write_bytes(b"2")
    assert store.read("k", digest, "a") == b"1"


def test_threads_that_want_the_same_fetch_it_once(tmp_path: Path) -> None:
    cache, fetched = Cache(tmp_path / "near", DEFAULT_BYTES), []
    digest = stage_into(tmp_path / "origin")

    def fetch(folder: Path) -> None:
        fetched.append(folder)
        time.sleep(0.05)
        stage(folder, {"a": b"1"}, {})

    threads = [threading.Thread(target=cache.path, args=("k", digest, fetch)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1
    assert near(tmp_path / "near") == {digest}


def stage_into(folder: Path) -> str:
    folder.mkdir()
    return stage(folder, {"a": b"1"}, {})


def test_what_cannot_be_fetched_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path, DEFAULT_BYTES)

    def fetch(folder: Path) -> None:
        (folder / "half").touch()
        raise NotFound("gone")

    with pytest.raises(NotFound, match="gone"):
        cache.path("k", "0" * 64, fetch)
    assert list(tmp_path.glob("k/*")) == []


def test_what_was_used_longest_ago_goes_first(remote: Any, tmp_path: Path) -> None:
    cache = tmp_path / "near"
    # Each takes about 1100 bytes with its manifest.
    store = ArtifactStore(remote.root, cache, cache_bytes=2500)
    first, second, third = (store.put("k", {"a": content * 1000}, {}) for content in (b"1", b"2", b"3"))
    assert near(cache) == {second, third}
    # From now on it is in use; the others were only stored.
    store.path("k", second)
    fourth = store.put("k", {"a": b"4" * 1000}, {})
    assert near(cache) == {second, fourth}
    assert (store.path("k", first) / "a").read_bytes() == b"1" * 1000
    assert near(cache) == {first, second}
    assert (store.path("k", third) / "a").read_bytes() == b"3" * 1000
    assert near(cache) == {first, second, third}, "what this process asked for stays, though it is too much"


def test_what_another_process_uses_stays_until_it_ends(remote: Any, tmp_path: Path) -> None:
    cache = tmp_path / "near"
    store = ArtifactStore(remote.root, cache, cache_bytes=1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(cache), (digest := put(remote, b"1")[0])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        try:
            assert other.stdout
            assert other.stdout.readline() == b"held\n"
            store.put("k", {"a": b"1"}, {})
            assert near(cache) == {digest}
        finally:
            other.kill()
    store.put("k", {"a": b"2"}, {})
    assert near(cache) == set()


def test_what_killed_processes_left_near_goes_after_a_day(remote: Any, tmp_path: Path) -> None:
    cache = tmp_path / "near"
    for name, age in (("young", 0), ("old", 2 * 86_400)):
        (cache / "k" / f".{name}").mkdir(parents=True)
        os.utime(cache / "k" / f".{name}", (time.time() - age,) * 2)
    ArtifactStore(remote.root, cache).put("k", {"a": b"1"}, {})
    assert [folder.name for folder in cache.glob("k/.*")] == [".young"]


def test_a_use_is_told_by_what_living_processes_hold(tmp_path: Path) -> None:
    uses = uses_of(tmp_path)
    assert uses_of(tmp_path) is uses
    uses.take("a" * 64)
    uses.take("a" * 64)
    with uses.unused("a" * 64) as mine, uses_of(tmp_path / "other").unused("a" * 64) as elsewhere:
        assert (mine, elsewhere) == (False, True)


def test_a_cache_that_cannot_be_written_says_what_to_set(remote: Any, tmp_path: Path) -> None:
    (digest,) = put(remote, b"1")
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        store = ArtifactStore(remote.root, folder)
        with pytest.raises(FailedPrecondition, match="SYMBIONT_ARTIFACT_CACHE"):
            store.path("k", digest)
        with pytest.raises(FailedPrecondition, match="SYMBIONT_ARTIFACT_CACHE"):
            store.put("k", {"a": b"2"}, {})


def test_a_source_that_is_not_there_is_no_fault_of_the_cache(remote: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remote.store.put("k", {"a": tmp_path / "missing"}, {})
    assert remote.files() == []


def test_the_environment_says_where_it_is_and_how_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "CACHE_BYTES"):
        monkeypatch.delenv(f"SYMBIONT_ARTIFACT_{name}", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_cache().folder == default_folder() == tmp_path / "symbiont/artifacts"
    monkeypatch.setenv("SYMBIONT_ARTIFACT_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("SYMBIONT_ARTIFACT_CACHE_BYTES", "7")
    assert open_cache().folder == tmp_path / "own"
    assert open_cache(tmp_path / "given").folder == tmp_path / "given"
    for wrong in ("0", "20GiB"):
        monkeypatch.setenv("SYMBIONT_ARTIFACT_CACHE_BYTES", wrong)
        with pytest.raises(InvalidArgument, match="SYMBIONT_ARTIFACT_CACHE_BYTES"):
            open_cache()
