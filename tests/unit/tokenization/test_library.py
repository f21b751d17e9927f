"""Tokenizers are loaded once, when first asked for, and only a bounded number stays."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.tokenizers import mute
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import AlreadyExists, IntegrityError, NotFound
from symbiont.tokenization import library as module
from symbiont.tokenization.library import TokenizerLibrary

FIELDS = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}


def put(store: ArtifactStore, definition: bytes, **fields: Any) -> str:
    return store.put("tokenizers", {"tokenizer.json": definition}, {**FIELDS, **fields})


def test_it_loads_what_is_stored(store: ArtifactStore, definitions: dict[str, bytes]) -> None:
    digest = put(store, definitions["wordpiece"])
    tokenizer = TokenizerLibrary(store, 2).get(digest)
    assert (tokenizer.info.digest, tokenizer.info.max_tokens) == (digest, 64)


def test_threads_that_want_the_same_one_load_it_once(store: ArtifactStore, definitions: dict[str, bytes]) -> None:
    library, digest = TokenizerLibrary(store, 2), put(store, definitions["minilm"])
    with ThreadPoolExecutor(8) as pool:
        got = set(map(id, pool.map(library.get, [digest] * 16)))
    assert len(got) == 1


def test_the_one_unused_for_longest_is_dropped(store: ArtifactStore, definitions: dict[str, bytes]) -> None:
    library = TokenizerLibrary(store, 2)
    a, b, c = (put(store, definitions["wordpiece"], max_tokens=n) for n in (8, 9, 10))
    first, second = library.get(a), library.get(b)
    assert library.get(a) is first
    library.get(c)
    assert library.get(a) is first
    assert library.get(b) is not second


def test_a_loaded_tokenizer_outlives_its_file(store: ArtifactStore, definitions: dict[str, bytes]) -> None:
    library, digest = TokenizerLibrary(store, 2), put(store, definitions["wordpiece"])
    loaded = library.get(digest)
    store.delete("tokenizers", digest)
    assert library.get(digest) is loaded


def test_an_unknown_digest_is_not_found_and_may_come_later(store: ArtifactStore, definitions: dict[str, bytes]) -> None:
    library = TokenizerLibrary(store, 2)
    digest = put(store, definitions["wordpiece"])
    hidden = store.root / "tokenizers" / digest
    hidden.rename(store.root / "hidden")
    with pytest.raises(NotFound, match=digest):
        library.get(digest)
    (store.root / "hidden").rename(hidden)
    assert library.get(digest)


@pytest.mark.parametrize(
    "fields", [{"kind": "bundle"}, {"format_version": 2}, {"max_tokens": 0}, {"max_tokens": "64"}, {"max_tokens": None}]
)
def test_a_foreign_manifest_is_refused(
    store: ArtifactStore, definitions: dict[str, bytes], fields: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError):
        TokenizerLibrary(store, 2).get(put(store, definitions["wordpiece"], **fields))


def test_a_missing_definition_is_refused(store: ArtifactStore) -> None:
    digest = store.put("tokenizers", {"vocab.txt": b"a"}, FIELDS)
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        TokenizerLibrary(store, 2).get(digest)


def test_a_damaged_one_hides_no_other_from_the_list(store: ArtifactStore, definitions: dict[str, bytes]) -> None:
    good, bad = put(store, definitions["wordpiece"]), put(store, b"{}")
    library = TokenizerLibrary(store, 2)
    assert library.digests() == sorted([good, bad])
    assert [info.digest for info in library.describe_all(library.digests())] == [good]


def test_one_that_cannot_encode_its_own_tokens_is_not_kept_and_hides_no_other(
    store: ArtifactStore, definitions: dict[str, bytes]
) -> None:
    library, good = TokenizerLibrary(store, 2), put(store, definitions["wordpiece"])
    with pytest.raises(IntegrityError, match="cannot serve"):
        library.add({"tokenizer.json": mute()}, FIELDS, "bad")
    assert library.digests() == [good]
    put(store, mute())
    assert [info.digest for info in library.describe_all(library.digests())] == [good]


def test_whatever_stops_it_from_being_loaded_it_is_not_kept(
    store: ArtifactStore, definitions: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        pass

    def panic(*_: object, **__: object) -> None:
        raise Panic

    monkeypatch.setattr(module, "FastTokenizer", panic)
    library = TokenizerLibrary(store, 2)
    with pytest.raises(Panic):
        library.add({"tokenizer.json": definitions["wordpiece"]}, FIELDS)
    assert library.digests() == []


def test_an_id_finds_it_and_never_another(store: ArtifactStore, definitions: dict[str, bytes]) -> None:
    library = TokenizerLibrary(store, 2)
    first = library.add({"tokenizer.json": definitions["wordpiece"]}, FIELDS, "bank")
    assert library.cached("bank") is None
    assert library.get("bank") is first
    assert library.cached("bank") is first
    assert library.describe("bank").ids == ("bank",)
    with pytest.raises(AlreadyExists, match="bank"):
        library.add({"tokenizer.json": definitions["byte_bpe"]}, FIELDS, "bank")
    assert library.digests() == [first.info.digest]
    library.tag(first, "clinic")
    assert library.describe(first.info.digest).ids == ("bank", "clinic")
    with pytest.raises(NotFound):
        library.get("nobody")


def test_what_cannot_serve_is_not_kept(store: ArtifactStore) -> None:
    library = TokenizerLibrary(store, 2)
    with pytest.raises(IntegrityError):
        library.add({"tokenizer.json": b"{}"}, FIELDS, "broken")
    assert library.digests() == []
    with pytest.raises(NotFound):
        library.get("broken")
