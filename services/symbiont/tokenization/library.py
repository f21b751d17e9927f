"""The tokenizers of the artifact store: loaded when first asked for, a bounded number of them kept."""

import threading

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound, SymbiontError
from symbiont.common.log import get_logger
from symbiont.common.lru import Lru
from symbiont.tokenization.tokenizer import StoredTokenizer
from symbiont.tokenization.types import TokenizerInfo

KIND = "tokenizers"
FORMAT_VERSION = 1
DEFINITION = "tokenizer.json"


class TokenizerLibrary:
    """Tokenizers by digest. Its methods block on the disk and may be called from any thread.

    Args:
        store: where the tokenizers are.
        capacity: most tokenizers kept in memory; the one unused for longest goes first.
    """

    def __init__(self, store: ArtifactStore, capacity: int) -> None:
        self._store = store
        self._loaded: Lru[str, StoredTokenizer] = Lru(capacity)
        self._guard = threading.Lock()
        # One load at a time: the same tokenizer is never read twice, and a burst of new ones cannot fill the memory.
        self._loading = threading.Lock()

    def get(self, digest: str) -> StoredTokenizer:
        """Returns a tokenizer, ready to use.

        Raises:
            NotFound: the store has none of that digest.
            IntegrityError: what is stored is damaged, or is no tokenizer of this format.
        """
        if found := self._cached(digest):
            return found
        with self._loading:
            if found := self._cached(digest):
                return found
            loaded = self._load(digest)
            with self._guard:
                self._loaded.put(digest, loaded)
            return loaded

    def digests(self) -> list[str]:
        """Returns the digests of all stored tokenizers, sorted."""
        return self._store.list(KIND)

    def describe(self, digests: list[str]) -> list[TokenizerInfo]:
        """Describes tokenizers; one that is damaged or gone is left out, so that it hides no other from a list."""
        infos = []
        for digest in digests:
            try:
                infos.append(self.get(digest).info)
            except SymbiontError as exc:
                get_logger().warning("tokenizer left out of the list", error=str(exc))
        return infos

    def _cached(self, digest: str) -> StoredTokenizer | None:
        with self._guard:
            return self._loaded.get(digest)

    def _load(self, digest: str) -> StoredTokenizer:
        if not self._store.exists(KIND, digest):
            raise NotFound(f"tokenizers/{digest} does not exist")
        manifest = self._store.manifest(KIND, digest)
        max_tokens = manifest.get("max_tokens")
        if manifest.get("kind") != "tokenizer" or manifest.get("format_version") != FORMAT_VERSION:
            raise IntegrityError(f"tokenizers/{digest}: not a tokenizer of format version {FORMAT_VERSION}")
        if not isinstance(max_tokens, int) or max_tokens < 1 or DEFINITION not in manifest["files"]:
            raise IntegrityError(f"tokenizers/{digest}: the manifest lacks max_tokens or {DEFINITION}")
        loaded = StoredTokenizer(digest, (self._store.path(KIND, digest) / DEFINITION).read_bytes(), max_tokens)
        get_logger().info("tokenizer loaded", digest=digest, family=loaded.info.family)
        return loaded
