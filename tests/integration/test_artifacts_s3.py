"""Artifacts in a real S3 server, and a tokenization service and a host that work from there."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import grpc
import numpy as np
import pytest

from support.bundles import random_bundle, random_rows, tiny_base
from support.sealed import keyring_of, places_with, sealed_store
from support.seaweed import BUCKET, OWNER, READER, SeaweedFS
from support.service import ServiceProcess
from support.tokenizers import wordpiece
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import MANIFEST, ArtifactStore, s3
from symbiont.common.encryption import keyring
from symbiont.common.errors import AlreadyExists, FailedPrecondition, IntegrityError, NotFound, TenantShredded
from symbiont.engine.engine import Engine
from symbiont.engine.loading import load_runtime
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings

Open = Callable[[], ArtifactStore]
PUTS = """
import sys
from symbiont.common.artifacts import ArtifactStore
store = ArtifactStore(sys.argv[1])
store.list("k")
print("ready", flush=True)
sys.stdin.readline()
print(store.put("k", {"a": b"1" * 1_000_000, "b/c": b"2"}, {"x": 1}))
"""
# Stands still where a writer has written all files, and not the manifest.
HALF = """
import sys, time
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.artifacts.objects import Objects

def stop(self, key, content):
    print(key, flush=True)
    time.sleep(600)

Objects.write = stop
ArtifactStore(sys.argv[1]).put("k", {"a": b"1", "b/c": b"2"}, {})
"""


@pytest.fixture(scope="module")
def server() -> Iterator[SeaweedFS]:
    with SeaweedFS() as server:
        yield server


@pytest.fixture(autouse=True)
def _environment(server: SeaweedFS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = {"SYMBIONT_ARTIFACT_CACHE": str(tmp_path / "near")} | server.environment()
    for name, value in mine.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """A place of the test's own."""
    return f"s3://{BUCKET}/{request.node.name.replace('[', '-').rstrip(']')}"


@pytest.fixture
def elsewhere(url: str, tmp_path: Path) -> Open:
    """Opens the store as another machine does, with nothing near."""
    numbers = count()
    return lambda: ArtifactStore(url, tmp_path / f"machine-{next(numbers)}")


def keys(server: SeaweedFS, url: str) -> list[str]:
    place = url.removeprefix("s3://")
    found = server.filesystem.find(place, detail=True)
    return sorted(name.removeprefix(f"{place}/") for name, info in found.items() if info["type"] == "file")


def test_what_one_machine_stores_another_has(
    url: str, elsewhere: Open, server: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Large enough to go in parts, both ways; these are the smallest that there are.
    monkeypatch.setattr(s3, "_PART_BYTES", 5 << 20)
    large = tmp_path / "weights.bin"
    large.write_bytes(os.urandom(11 << 20))
    writer, reader = ArtifactStore(url), elsewhere()
    assert str(writer.root) == url
    digest = writer.put("bases", {"weights.bin": large, "sub/config.json": b"{}"}, {"kind": "base"})
    assert keys(server, url) == sorted(f"bases/{digest}/{n}" for n in ("weights.bin", "sub/config.json", MANIFEST))
    folder = reader.path("bases", digest)
    assert folder.is_relative_to(tmp_path)
    assert (folder / "weights.bin").read_bytes() == large.read_bytes()
    assert (folder / "sub/config.json").read_bytes() == b"{}"
    assert reader.manifest("bases", digest)["kind"] == "base"
    assert reader.exists("bases", digest)
    assert reader.list("bases") == [digest]
    assert reader.list("bundles") == reader.identifiers("bundles") == []
    reader.tag("bases", "mini.lm-1", digest)
    writer.tag("bases", "mini.lm-1", digest)
    assert writer.resolve("bases", "mini.lm-1") == digest
    assert writer.tags("bases") == {digest: ["mini.lm-1"]}
    with pytest.raises(NotFound):
        writer.resolve("bases", "other")
    writer.delete("bases", digest)
    writer.delete("bases", digest)
    assert keys(server, url) == []
    assert not reader.exists("bases", digest)
    with pytest.raises(NotFound):
        elsewhere().path("bases", digest)


def test_a_damaged_artifact_is_refused_and_mended_by_storing_it_again(
    url: str, elsewhere: Open, server: SeaweedFS
) -> None:
    store = ArtifactStore(url)
    digest = store.put("k", {"a": b"whole"}, {})
    server.filesystem.pipe_file(f"{url}/k/{digest}/a", b"harmed")
    with pytest.raises(IntegrityError, match="a differs"):
        elsewhere().path("k", digest)
    server.filesystem.rm_file(f"{url}/k/{digest}/a")
    with pytest.raises(IntegrityError, match="a is missing"):
        elsewhere().path("k", digest)
    assert store.put("k", {"a": b"whole"}, {}) == digest
    assert elsewhere().read("k", digest, "a") == b"whole"


def test_what_is_damaged_near_is_fetched_again_and_what_is_too_much_goes(
    url: str, elsewhere: Open, tmp_path: Path
) -> None:
    writer, near = elsewhere(), tmp_path / "near"
    digests = [writer.put("k", {"a": content * 1000}, {}) for content in (b"1", b"2", b"3")]
    (ArtifactStore(url).path("k", digests[0]) / "a").write_bytes(b"harmed")
    assert (ArtifactStore(url).path("k", digests[0]) / "a").read_bytes() == b"1" * 1000
    small = ArtifactStore(url, near, cache_bytes=2500)
    small.put("k", {"a": b"2" * 1000}, {})
    small.put("k", {"a": b"3" * 1000}, {})
    assert {folder.name for folder in near.glob("k/[!.]*")} == {digests[0], digests[2]}, "what was asked for stays"


@pytest.mark.parametrize("secret", ["wrong", ""])
def test_a_wrong_key_is_told_with_what_to_set(
    url: str, secret: str, server: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = ArtifactStore(url).put("k", {"a": b"1"}, {})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY" if secret else "AWS_ACCESS_KEY_ID", secret or "nobody")
    store = ArtifactStore(url)
    for attempt in (
        lambda: store.list("k"),
        lambda: store.exists("k", digest),
        lambda: store.put("k", {"a": b"2"}, {}),
        lambda: store.tag("k", "name", digest),
    ):
        with pytest.raises(FailedPrecondition, match=f"{server.endpoint} refuses.*set AWS_ACCESS_KEY_ID") as caught:
            attempt()
        assert caught.value.reason == "ARTIFACT_STORE_ACCESS"
        assert OWNER[1] not in str(caught.value)


def test_a_reader_reads_and_is_told_that_it_may_not_write(
    url: str, elsewhere: Open, server: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = ArtifactStore(url).put("k", {"a": b"1"}, {})
    for name, value in server.environment(READER).items():
        monkeypatch.setenv(name, value)
    reader = elsewhere()
    assert reader.read("k", digest, "a") == b"1"
    with pytest.raises(FailedPrecondition, match="list, read, write and delete"):
        reader.put("k", {"a": b"2"}, {})
    with pytest.raises(FailedPrecondition, match="AccessDenied"):
        reader.tag("k", "name", digest)


def test_a_bucket_that_is_not_there_is_named() -> None:
    store = ArtifactStore("s3://missing-bucket/prefix")
    for attempt in (lambda: store.list("k"), lambda: store.exists("k", "0" * 64), lambda: store.put("k", {}, {})):
        with pytest.raises(FailedPrecondition, match="has no bucket missing-bucket"):
            attempt()


def test_processes_that_store_the_same_at_once_store_it_once(url: str, elsewhere: Open, server: SeaweedFS) -> None:
    command = [sys.executable, "-c", PUTS, url]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("\n")
            writer.stdin.flush()
        said = {writer.communicate(timeout=60)[0].strip() for writer in writers}
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    (digest,) = said
    assert keys(server, url) == sorted(f"k/{digest}/{name}" for name in ("a", "b/c", MANIFEST))
    assert elsewhere().read("k", digest, "a") == b"1" * 1_000_000


def test_a_writer_that_is_killed_before_the_manifest_leaves_nothing_that_shows(
    url: str, elsewhere: Open, server: SeaweedFS
) -> None:
    whole = elsewhere().put("k", {"a": b"whole"}, {})
    with subprocess.Popen([sys.executable, "-c", HALF, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        digest = writer.stdout.readline().split("/")[1]
        writer.kill()
    store = elsewhere()
    half = [f"k/{digest}/a", f"k/{digest}/b/c"]
    assert set(half) < set(keys(server, url))
    assert store.list("k") == [whole]
    assert not store.exists("k", digest)
    with pytest.raises(NotFound):
        store.path("k", digest)
    # A file in parts, of which a killed writer has written some.
    place = {"Bucket": BUCKET, "Key": f"{url.removeprefix(f's3://{BUCKET}/')}/k/{digest}/large"}
    filesystem = server.filesystem
    filesystem.call_s3("create_multipart_upload", **place)
    assert store.sweep() == 0
    assert store.sweep(older_than_seconds=-60) == 2
    assert keys(server, url) == sorted(f"k/{whole}/{name}" for name in ("a", MANIFEST))
    assert not filesystem.call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads")
    assert elsewhere().read("k", whole, "a") == b"whole"


def test_of_many_that_want_one_id_one_gets_it(url: str, elsewhere: Open) -> None:
    stores = [elsewhere() for _ in range(4)]
    digests = [store.put("k", {"a": str(number).encode()}, {}) for number, store in enumerate(stores)]
    refused: list[str] = []
    start = threading.Barrier(len(stores))

    def tag(store: ArtifactStore, digest: str) -> None:
        start.wait()
        try:
            store.tag("k", "bank", digest)
        except AlreadyExists:
            refused.append(digest)

    threads = [threading.Thread(target=tag, args=pair) for pair in zip(stores, digests, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == len(digests) - 1
    assert {elsewhere().resolve("k", "bank"), *refused} == set(digests)


def test_the_tokenization_service_serves_a_tokenizer_from_there(url: str, elsewhere: Open, tmp_path: Path) -> None:
    tokenizer = wordpiece()
    tokenizer.no_padding()
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}
    store = elsewhere()
    digest = store.put("tokenizers", {"tokenizer.json": tokenizer.to_str().encode()}, fields)
    store.tag("tokenizers", "own", digest)
    service = ServiceProcess("tokenization", tmp_path, artifact_root=url).start()
    try:
        with grpc.insecure_channel(service.address) as channel:
            stub = TokenizationServiceStub(channel)
            for name in (digest, "own"):
                answer = stub.Tokenize(pb.TokenizeRequest(tokenizer=f"tokenizers/{name}", texts=["cancel the order"]))
                assert list(answer.ids) == tokenizer.encode("cancel the order").ids
            with pytest.raises(grpc.RpcError) as caught:
                stub.Tokenize(pb.TokenizeRequest(tokenizer=f"tokenizers/{'0' * 64}", texts=["x"]))
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert (tmp_path / "near" / "tokenizers" / digest).is_dir()
    finally:
        assert service.stop() == 0


def test_a_host_that_is_told_the_url_computes_with_what_lies_there(url: str, elsewhere: Open) -> None:
    writer = elsewhere()
    base = tiny_base(writer)
    bundle, reference = random_bundle(writer, base, rank=4)
    # As Triton hands it over.
    settings = HostSettings.from_parameters(HostSettings(writer.root, base, runtime="torch").to_parameters())
    store = ArtifactStore(settings.artifact_root)
    engine = Engine(load_runtime(settings, store), store)
    (row,) = random_rows(1)
    (answer,) = engine.infer([Row(row, bundle)])
    np.testing.assert_allclose(answer, reference.logits(row), rtol=0, atol=1e-4)


def test_what_is_encrypted_is_so_in_the_bucket_and_gone_with_its_keys(
    url: str, server: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "BELIEVED_S", 0.0)
    text = "what a customer calls it"
    key, place = tmp_path / "key", url.removeprefix("s3://")

    def store(tenant: str) -> ArtifactStore:
        return sealed_store(url, key, tenant, tmp_path / f"near-{tenant}")

    made = {tenant: store(tenant).put("datasets", {"rows": text.encode()}, {"texts": [text]}) for tenant in ("a", "b")}
    copy = tmp_path / "copy"
    server.filesystem.get(place, str(copy), recursive=True)
    assert len(list(copy.rglob(MANIFEST))) == 2
    # Every name that a store has there, and what lies near it.
    assert places_with([text], tmp_path) == []
    for tenant, digest in made.items():
        assert store("someone").read("datasets", digest, "rows") == text.encode(), tenant
    keyring_of(url, key).shred("a")
    with pytest.raises(TenantShredded):
        store("someone").read("datasets", made["a"], "rows")
    assert store("someone").read("datasets", made["b"], "rows") == text.encode()
