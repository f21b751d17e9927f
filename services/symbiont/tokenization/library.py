"""The tokenizers of the artifact store: loaded when first asked for, a bounded number of them kept."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound, SymbiontError
from symbiont.common.log import get_logger
from symbiont.common.lru import Lru
from symbiont.tokenization.slow import SlowTokenizer
from symbiont.tokenization.tokenizer import FastTokenizer, Tokenizer
from symbiont.tokenization.types import TokenizerInfo

KIND = "tokenizers"
FORMAT_VERSION = 1
DEFINITION = "tokenizer.json"
SLOW_BACKEND = "transformers"


class TokenizerLibrary:
    """Tokenizers by digest. Its methods block on the disk and may be called from any thread.

    Args:
        store: where the tokenizers are.
        capacity: most tokenizers kept in memory; the one unused for longest goes first.
    """

    def __init__(self, store: ArtifactStore, capacity: int) -> None:
        self._store = store
        self._loaded: Lru[str, Tokenizer] = Lru(capacity)
        # What an id stands for never changes.
        self._digests: dict[str, str] = {}
        self._guard = threading.Lock()
        # One load at a time: the same tokenizer is never read twice, and a burst of new ones cannot fill the memory.
        self._loading = threading.Lock()

    def cached(self, key: str) -> Tokenizer | None:
        """Returns a tokenizer, by digest or id, if it is in memory; never blocks for long."""
        with self._guard:
            return self._loaded.get(self._digests.get(key, key))

    def get(self, key: str) -> Tokenizer:
        """Returns a tokenizer, by digest or id, ready to use.

        Raises:
            NotFound: the store has none of that digest or id.
            IntegrityError: what is stored is damaged, or is no tokenizer of this format.
        """
        if found := self.cached(key):
            return found
        digest = self.digest_of(key)
        with self._loading:
            if found := self.cached(digest):
                return found
            loaded = self._load(digest)
            with self._guard:
                self._loaded.put(digest, loaded)
            return loaded

    def digest_of(self, key: str) -> str:
        """Returns the digest that an id stands for; a digest stands for itself."""
        if self._store.exists(KIND, key):
            return key
        if len(key) == 64:
            raise NotFound(f"tokenizers/{key} does not exist")
        digest = self._store.resolve(KIND, key)
        with self._guard:
            self._digests[key] = digest
        return digest

    def add(self, files: Mapping[str, Path | bytes], fields: Mapping[str, Any], identifier: str = "") -> Tokenizer:
        """Stores a tokenizer, under an id if one is given, and returns it.

        Raises:
            AlreadyExists: the id stands for another.
            IntegrityError: it is none that can serve; nothing stays stored.
        """
        known = set(self.digests())
        digest = self._store.put(KIND, files, fields)
        try:
            tokenizer = self.get(digest)
            if identifier:
                self._store.tag(KIND, identifier, digest)
        except BaseException:
            if digest not in known:
                self._forget(digest)
                self._store.delete(KIND, digest)
            raise
        return tokenizer

    def tag(self, tokenizer: Tokenizer, identifier: str) -> None:
        """Gives a tokenizer an id more; AlreadyExists when it stands for another."""
        self._store.tag(KIND, identifier, tokenizer.info.digest)

    def describe(self, key: str) -> TokenizerInfo:
        """Describes a tokenizer, with the ids that it has now."""
        info = self.get(key).info
        return _with_ids(info, self._store.tags(KIND).get(info.digest, []))

    def definition(self, tokenizer: Tokenizer) -> bytes:
        """Returns the bytes of a tokenizer's tokenizer.json; a slow one has none."""
        if tokenizer.info.slow:
            return b""
        return self._store.read(KIND, tokenizer.info.digest, DEFINITION)

    def fields(self, tokenizer: Tokenizer) -> dict[str, Any]:
        """Returns what the manifest of a tokenizer says beside its files."""
        return {k: v for k, v in self._store.manifest(KIND, tokenizer.info.digest).items() if k != "files"}

    def digests(self) -> list[str]:
        """Returns the digests of all stored tokenizers, sorted."""
        return self._store.list(KIND)

    def describe_all(self, digests: list[str]) -> list[TokenizerInfo]:
        """Describes tokenizers; one that is damaged or gone is left out, so that it hides no other from a list."""
        infos, tags = [], self._store.tags(KIND)
        for digest in digests:
            try:
                infos.append(_with_ids(self.get(digest).info, tags.get(digest, [])))
            except SymbiontError as exc:
                get_logger().warning("tokenizer left out of the list", error=str(exc))
        return infos

    def _forget(self, digest: str) -> None:
        with self._guard:
            self._loaded.drop(digest)

    def _load(self, digest: str) -> Tokenizer:
        manifest = self._store.manifest(KIND, digest)
        max_tokens = manifest.get("max_tokens")
        parent = str(manifest.get("parent", ""))
        if manifest.get("kind") != "tokenizer" or manifest.get("format_version") != FORMAT_VERSION:
            raise IntegrityError(f"tokenizers/{digest}: not a tokenizer of format version {FORMAT_VERSION}")
        if not isinstance(max_tokens, int) or max_tokens < 1:
            raise IntegrityError(f"tokenizers/{digest}: the manifest lacks max_tokens")
        loaded: Tokenizer
        if manifest.get("backend") == SLOW_BACKEND:
            folder = self._store.path(KIND, digest)
            loaded = SlowTokenizer(digest, folder, str(manifest.get("class")), max_tokens, parent=parent)
        elif DEFINITION in manifest["files"]:
            loaded = FastTokenizer(digest, self._store.read(KIND, digest, DEFINITION), max_tokens, parent=parent)
        else:
            raise IntegrityError(f"tokenizers/{digest}: the manifest lacks {DEFINITION}")
        get_logger().info("tokenizer loaded", digest=digest, family=loaded.info.family, slow=loaded.info.slow)
        return loaded


def _with_ids(info: TokenizerInfo, ids: list[str]) -> TokenizerInfo:
    return replace(info, ids=tuple(ids))
