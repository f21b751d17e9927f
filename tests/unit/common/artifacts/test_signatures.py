"""Bundles are vouched for before anything is read from them."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from symbiont.common import principal
from symbiont.common.artifacts import ArtifactStore, SigningKey, Trust, trust_of_environment
from symbiont.common.artifacts.signatures import KIND, signature_id
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound

Open = Callable[..., ArtifactStore]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.make(tmp_path / "key.pem")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def trusting(store: ArtifactStore) -> Open:
    def open_store(*lines: str, required: bool = True) -> ArtifactStore:
        return ArtifactStore(store.root, trust=Trust.parse("\n".join(lines), required=required))

    return open_store


@pytest.fixture
def digest(store: ArtifactStore) -> str:
    return store.put("bundles", {"head.safetensors": b"weights"}, {"task": "classification"})


@pytest.fixture
def as_tenant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    tokens = []
    yield lambda tenant: tokens.append(principal._current.set(principal.Principal(tenant=tenant)))
    for token in reversed(tokens):
        principal._current.reset(token)


def test_what_is_signed_is_read(store: ArtifactStore, trusting: Open, digest: str, key: SigningKey) -> None:
    store.sign(digest, key)
    store.sign(digest, key)
    reader = trusting(key.line())
    assert reader.manifest("bundles", digest)["task"] == "classification"
    assert reader.path("bundles", digest).is_dir()
    assert reader.read("bundles", digest, "head.safetensors") == b"weights"
    assert reader.signers(digest) == {""}


@pytest.mark.parametrize("door", ["manifest", "path", "read"])
def test_what_is_not_signed_is_refused_before_it_is_read(
    store: ArtifactStore, trusting: Open, digest: str, key: SigningKey, door: str
) -> None:
    # Its files would not pass either: the signature is what is looked at first.
    (Path(store.root) / "bundles" / digest / "manifest.json").write_text("no JSON")
    reader = trusting(key.line())
    with pytest.raises(IntegrityError, match=r"nobody who is trusted has signed it; sign it with `symbiont bundles"):
        getattr(reader, door)("bundles", digest, *(["head.safetensors"] if door == "read" else []))


def test_without_the_rule_what_is_unsigned_is_read_and_a_wrong_signature_is_not(
    store: ArtifactStore, trusting: Open, digest: str, key: SigningKey
) -> None:
    reader = trusting(key.line(), required=False)
    assert reader.manifest("bundles", digest)
    _plant(store, digest, key, base64.b64encode(b"0" * 64).decode())
    with pytest.raises(IntegrityError) as caught:
        reader.manifest("bundles", digest)
    assert caught.value.reason == "WRONGLY_SIGNED"


@pytest.mark.parametrize("text", ["", "=", "not base64", base64.b64encode(b"1" * 63).decode()])
def test_a_signature_that_is_none_is_refused_and_the_holder_of_the_key_puts_it_right(
    store: ArtifactStore, trusting: Open, digest: str, key: SigningKey, text: str
) -> None:
    _plant(store, digest, key, text)
    with pytest.raises(IntegrityError, match=f"the signature in the name of key {key.id}"):
        trusting(key.line()).path("bundles", digest)
    store.sign(digest, key)
    assert trusting(key.line()).path("bundles", digest)


def test_a_signature_of_another_bundle_is_none_of_this(
    store: ArtifactStore, trusting: Open, digest: str, key: SigningKey
) -> None:
    other = store.put("bundles", {"head.safetensors": b"other"}, {})
    store.sign(other, key)
    store.tag(KIND, signature_id(digest, key.id), store.resolve(KIND, signature_id(other, key.id)))
    with pytest.raises(IntegrityError, match="not that key's for this bundle"):
        trusting(key.line()).manifest("bundles", digest)


def test_a_key_that_is_not_trusted_counts_for_nothing(
    store: ArtifactStore, trusting: Open, digest: str, key: SigningKey, tmp_path: Path
) -> None:
    store.sign(digest, SigningKey.make(tmp_path / "stranger.pem"))
    with pytest.raises(IntegrityError, match="nobody who is trusted"):
        trusting(key.line()).manifest("bundles", digest)


def test_a_tenants_key_speaks_for_that_tenant_alone(
    store: ArtifactStore, trusting: Open, digest: str, key: SigningKey, as_tenant: Callable[[str], None], tmp_path: Path
) -> None:
    ours = SigningKey.make(tmp_path / "ours.pem")
    store.sign(digest, ours)
    reader = trusting(key.line(), ours.line("acme"))
    assert reader.signers(digest) == {"acme"}
    # The installation itself looks after all of them.
    assert reader.manifest("bundles", digest)
    as_tenant("acme")
    assert reader.manifest("bundles", digest)
    as_tenant("globex")
    with pytest.raises(IntegrityError) as caught:
        reader.manifest("bundles", digest)
    assert caught.value.reason == "SIGNED_BY_ANOTHER"
    store.sign(digest, key)
    assert trusting(key.line(), ours.line("acme")).manifest("bundles", digest)


def test_what_is_not_there_is_not_found_rather_than_unsigned(trusting: Open, key: SigningKey) -> None:
    with pytest.raises(NotFound):
        trusting(key.line()).manifest("bundles", "a" * 64)
    with pytest.raises(NotFound):
        trusting(key.line()).sign("a" * 64, key)


@pytest.mark.parametrize("door", ["manifest", "path", "read"])
def test_a_copy_in_a_cache_is_not_read_unsigned_because_the_bundle_is_gone(
    remote: Any, tmp_path: Path, key: SigningKey, door: str
) -> None:
    cache = tmp_path / "cache"
    unasked = ArtifactStore(remote.root, cache)
    digest, signed = (unasked.put("bundles", {"head": name}, {}) for name in (b"unsigned", b"signed"))
    unasked.sign(signed, key)
    reader = ArtifactStore(remote.root, cache, trust=Trust.parse(key.line(), required=True))
    files = ("head",) if door == "read" else ()
    assert getattr(reader, door)("bundles", signed, *files)
    for bundle in (digest, signed):
        unasked.path("bundles", bundle)
        remote.remove(f"bundles/{bundle}/manifest.json")
    with pytest.raises(NotFound):
        getattr(reader, door)("bundles", digest, *files)
    # Of this one it is known who signed it.
    assert getattr(reader, door)("bundles", signed, *files)


def test_other_kinds_need_no_signature(store: ArtifactStore, trusting: Open, key: SigningKey) -> None:
    base = store.put("bases", {"config.json": b"{}"}, {})
    assert trusting(key.line()).path("bases", base)


def test_a_key_stays_the_same_in_its_file_and_is_not_written_over(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "key.pem"
    assert SigningKey.read(path).line("acme") == f"{key.line()} acme"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        SigningKey.make(path)


# A key of an algorithm that there is not, 1.2.3.4.
UNKNOWN = base64.b64encode(bytes.fromhex("302e020100300506032a030404220420") + bytes(32))
UNKNOWN = b"-----BEGIN PRIVATE KEY-----\n" + UNKNOWN + b"\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "content", [UNKNOWN, b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff"]
)
def test_a_file_that_is_no_key_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.pem"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match="make one: symbiont bundles key"):
        SigningKey.read(path)


@pytest.mark.parametrize("line", ["AAAA", "?", f"{base64.b64encode(b'1' * 32).decode()} two tenants"])
def test_a_line_that_is_no_key_is_named(line: str) -> None:
    with pytest.raises(InvalidArgument, match="line 2 is not"):
        Trust.parse(f"# ours\n{line}\n", required=False)


def test_workers_learn_it_from_their_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: ArtifactStore, digest: str, key: SigningKey
) -> None:
    monkeypatch.delenv("SYMBIONT_TRUSTED_KEYS", raising=False)
    monkeypatch.delenv("SYMBIONT_REQUIRE_SIGNATURES", raising=False)
    assert trust_of_environment() is None
    (tmp_path / "trusted").write_text(key.line())
    monkeypatch.setenv("SYMBIONT_TRUSTED_KEYS", str(tmp_path / "trusted"))
    monkeypatch.setenv("SYMBIONT_REQUIRE_SIGNATURES", "true")
    reader = ArtifactStore(store.root, trust=trust_of_environment())
    with pytest.raises(IntegrityError, match="nobody who is trusted"):
        reader.path("bundles", digest)
    # One that was refused is looked at again.
    store.sign(digest, key)
    assert reader.path("bundles", digest)


def _plant(store: ArtifactStore, digest: str, key: SigningKey, signature: str) -> None:
    planted = store.put(KIND, {}, {"bundle": digest, "key": key.id, "signature": signature})
    store.tag(KIND, signature_id(digest, key.id), planted)
