"""Tokenizers that exist in Python only, run by transformers: exact, slow, and without offsets."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument
from symbiont.tokenization.slow_settings import check_settings
from symbiont.tokenization.tokenizer import Content, Frame, told
from symbiont.tokenization.types import SpecialToken, TokenizerInfo


class SlowTokenizer:
    """A tokenizer of transformers without a Rust twin, ByT5's for example. It answers one thread at a time."""

    def __init__(self, digest: str, folder: Path, name: str, max_tokens: int, *, parent: str = "") -> None:
        """Reads what the tokenizer's own class saved in `folder`.

        Raises:
            FailedPrecondition: transformers is not installed beside the service.
            IntegrityError: transformers has no such class, the files are not of it, or they name others elsewhere.
        """
        self._guard = threading.Lock()
        self._tokenizer = _load(digest, folder, name)
        with told(f"tokenizers/{digest}: it cannot serve"):
            self._describe(digest, name, max_tokens, parent)

    def _describe(self, digest: str, name: str, max_tokens: int, parent: str) -> None:
        self.pad_type = int(self._tokenizer.pad_token_type_id)
        self.single, self.pair = self._frames()
        special = zip(self._tokenizer.all_special_tokens, self._tokenizer.all_special_ids, strict=True)
        self.info = TokenizerInfo(
            digest=digest,
            family=name,
            vocabulary_size=len(self._tokenizer),
            max_tokens=max_tokens,
            special_tokens=tuple(sorted({SpecialToken(t, i) for t, i in special}, key=lambda s: s.id)),
            parent=parent,
            slow=True,
            takes_pairs=self.pair is not None,
            special_tokens_per_text=self.single.size,
            special_tokens_per_pair=self.pair.size if self.pair else 0,
            pad_id=self._tokenizer.pad_token_id,
            unknown_id=self._tokenizer.unk_token_id,
        )

    def encode(self, texts: Sequence[str], *, detail: bool) -> list[Content]:
        """Returns the tokens of each text; with `detail` their strings too, but never offsets or words."""
        with self._guard:
            rows = [self._tokenizer.encode(text, add_special_tokens=False) for text in texts]
            strings = [self._tokenizer.convert_ids_to_tokens(row) if detail else None for row in rows]
        return [Content(row, tokens=tokens) for row, tokens in zip(rows, strings, strict=True)]

    def decode(self, rows: Sequence[Sequence[int]], *, keep_special_tokens: bool) -> list[str]:
        """Returns the text of each row."""
        with self._guard:
            return [self._tokenizer.decode(list(row), skip_special_tokens=not keep_special_tokens) for row in rows]

    def id_of(self, token: str) -> int | None:
        """Returns the id of a token; None when the vocabulary lacks it."""
        with self._guard:
            found = self._tokenizer.convert_tokens_to_ids(token)
        known = found is not None and (found != self.info.unknown_id or token == self._tokenizer.unk_token)
        return int(found) if known else None

    def token_of(self, identifier: int) -> str | None:
        """Returns the token of an id; None when the vocabulary lacks it."""
        if identifier >= self.info.vocabulary_size:
            return None
        with self._guard:
            return str(self._tokenizer.convert_ids_to_tokens(identifier))

    def _frames(self) -> tuple[Frame, Frame | None]:
        """Lets the tokenizer put its special tokens around marks that are no ids."""
        single = self._tokenizer.build_inputs_with_special_tokens([-1])
        types = self._tokenizer.create_token_type_ids_from_sequences([-1])
        at = single.index(-1)
        alone = Frame(single[:at], [], single[at + 1 :], types[:at], types[at], [], 0, types[at + 1 :])
        both = self._tokenizer.build_inputs_with_special_tokens([-1], [-2])
        types = self._tokenizer.create_token_type_ids_from_sequences([-1], [-2])
        first, second = both.index(-1), both.index(-2)
        if second <= first + 1:
            return alone, None
        return alone, Frame(
            both[:first],
            both[first + 1 : second],
            both[second + 1 :],
            types[:first],
            types[first],
            types[first + 1 : second],
            types[second],
            types[second + 1 :],
        )


def _load(digest: str, folder: Path, name: str) -> Any:
    try:
        import transformers
    except ImportError as exc:
        problem = (
            f"tokenizers/{digest} is a {name}, which needs transformers: install symbiont[slow] beside the service"
        )
        raise FailedPrecondition(problem) from exc
    found = getattr(transformers, name, None)
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedTokenizer)):
        raise IntegrityError(f"tokenizers/{digest}: transformers has no slow tokenizer {name}")
    slow: Any = found
    try:
        check_settings("files", folder)
    except InvalidArgument as exc:
        raise IntegrityError(f"tokenizers/{digest}: {exc}") from exc
    try:
        return slow.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as exc:
        raise IntegrityError(f"tokenizers/{digest}: its files are not of a {name}") from exc
