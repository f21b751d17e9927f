"""A home signs what is made on it, and takes what was there before as it finds it, once."""

from pathlib import Path

import pytest

from symbiont.common.artifacts import ArtifactStore, Trust
from symbiont.common.errors import IntegrityError
from symbiont.local import signing
from symbiont.local.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("SYMBIONT_SIGNING_KEY", "SYMBIONT_TRUSTED_KEYS", "SYMBIONT_REQUIRE_SIGNATURES"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path)


def trusting(home: Home) -> ArtifactStore:
    return ArtifactStore(home.artifacts, trust=Trust.parse(signing.trusted_file(home).read_text(), required=True))


def test_what_was_there_before_is_taken_once_and_what_comes_later_is_not(home: Home) -> None:
    store = ArtifactStore(home.artifacts)
    before = store.put("bundles", {"head.safetensors": b"1"}, {})
    assert signing.prepare(home) == 1
    assert trusting(home).path("bundles", before)
    after = store.put("bundles", {"head.safetensors": b"2"}, {})
    assert signing.prepare(home) == 0
    with pytest.raises(IntegrityError, match="nobody who is trusted"):
        trusting(home).path("bundles", after)


def test_a_start_that_was_broken_off_goes_on_with_its_key(home: Home) -> None:
    digest = ArtifactStore(home.artifacts).put("bundles", {"head.safetensors": b"1"}, {})
    signing.prepare(home)
    made = signing.key_file(home).read_bytes()
    signing.trusted_file(home).unlink()
    assert signing.prepare(home) == 1
    assert signing.key_file(home).read_bytes() == made
    assert trusting(home).path("bundles", digest)


def test_whoever_names_keys_is_not_given_others(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signing.environment(home)["SYMBIONT_REQUIRE_SIGNATURES"] == "true"
    monkeypatch.setenv("SYMBIONT_TRUSTED_KEYS", "/elsewhere")
    assert signing.prepare(home) == 0
    assert signing.environment(home) == {}
    assert not home.keys.exists()
