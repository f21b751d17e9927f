"""One stored tokenizer: exactly what the `tokenizers` library gives, without the padding that its file may carry."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tokenizers import Encoding
from tokenizers import Tokenizer as LibraryTokenizer

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument, SymbiontError
from symbiont.common.expressions import is_panic
from symbiont.common.unspaced import has_unspaced
from symbiont.tokenization.types import SpecialToken, TokenizerInfo

_PROBE_TOKENS = 64
# Names of padding tokens, by how common they are; a tokenizer.json names one only when it carries padding.
_PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>", "<PAD>", "<|padding|>", "<|endoftext|>")


# Not frozen, as it should be: a frozen one takes three times as long to make, and every text makes one.
@dataclass(slots=True)
class Content:
    """One text in tokens, without special tokens around it. All but the ids stand there only when asked for.

    `offsets` are (start, end) in code points; `words` are indices of words, -1 for none.
    """

    ids: list[int]
    offsets: list[tuple[int, int]] | None = None
    words: list[int] | None = None
    tokens: list[str] | None = None


@dataclass(frozen=True)
class Frame:
    """What stands around a text, or around and between two: ids, and the type ids of all of it."""

    before: list[int]
    between: list[int]
    after: list[int]
    before_types: list[int]
    first_type: int
    between_types: list[int]
    second_type: int
    after_types: list[int]

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return len(self.before) + len(self.between) + len(self.after)

    def bare(self) -> "Frame":
        """Returns the same frame with no special tokens in it."""
        return Frame([], [], [], [], self.first_type, [], self.second_type, [])


class Tokenizer(Protocol):
    """What rows are made with. Never changed once made, so any number of threads may use one."""

    info: TokenizerInfo
    single: Frame
    pair: Frame | None
    pad_type: int

    def encode(self, texts: Sequence[str], *, detail: bool) -> list[Content]:
        """Returns the tokens of each text; `detail` asks for offsets, words and token strings."""

    def decode(self, rows: Sequence[Sequence[int]], *, keep_special_tokens: bool) -> list[str]:
        """Returns the text of each row."""

    def id_of(self, token: str) -> int | None:
        """Returns the id of a token; None when the vocabulary lacks it."""

    def token_of(self, identifier: int) -> str | None:
        """Returns the token of an id; None when the vocabulary lacks it."""


class FastTokenizer:
    """A tokenizer of the Rust library.

    The library truncates and pads by settings of the shared object, which one call would change under another. Here a
    whole text is encoded bare, and rows are made of it afterwards, which also tells how long each text was.
    """

    def __init__(self, digest: str, definition: bytes, max_tokens: int, *, parent: str = "") -> None:
        """Reads `definition`, the bytes of a tokenizer.json.

        Raises:
            IntegrityError: it is no tokenizer, it cannot encode its own tokens, or it puts special tokens elsewhere
                than around the text.
        """
        with told(f"tokenizers/{digest}: tokenizer.json cannot be read"):
            self._tokenizer = LibraryTokenizer.from_buffer(definition)
            # The library reads some bytes that are no JSON.
            facts = json.loads(definition)
        with told(f"tokenizers/{digest}: it cannot serve"):
            self._describe(digest, facts, max_tokens, parent)

    def _describe(self, digest: str, facts: dict[str, Any], max_tokens: int, parent: str) -> None:
        padding = self._tokenizer.padding or {}
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.pad_type = int(padding.get("pad_type_id", 0))
        self.single = _single_frame(self._tokenizer, digest)
        self.pair = _pair_frame(self._tokenizer)
        self.info = TokenizerInfo(
            digest=digest,
            family=str(facts["model"].get("type") or type(self._tokenizer.model).__name__),
            vocabulary_size=self._tokenizer.get_vocab_size(with_added_tokens=True),
            max_tokens=max_tokens,
            special_tokens=_special_tokens(self._tokenizer),
            parent=parent,
            byte_level=_is_byte_level(facts),
            takes_pairs=self.pair is not None,
            special_tokens_per_text=self.single.size,
            special_tokens_per_pair=self.pair.size if self.pair else 0,
            pad_id=_pad_id(self._tokenizer, padding),
            unknown_id=_unknown_id(self._tokenizer, facts["model"]),
        )

    def encode(self, texts: Sequence[str], *, detail: bool) -> list[Content]:
        """Returns the tokens of each text; works outside the interpreter lock.

        Raises:
            FailedPrecondition: the tokenizer has no token for some of the text, not even an unknown one.
        """
        encode = self._tokenizer.encode_batch if detail else self._tokenizer.encode_batch_fast
        try:
            encodings = encode(texts, add_special_tokens=False)
        except BaseException as exc:  # the library raises nothing narrower
            if isinstance(exc, Exception) or is_panic(exc):
                raise FailedPrecondition(f"tokenizers/{self.info.digest} cannot encode these texts: {exc}") from exc
            raise
        if not detail:
            return [Content(encoding.ids) for encoding in encodings]
        return [Content(e.ids, e.offsets, _words(text, e), e.tokens) for text, e in zip(texts, encodings, strict=True)]

    def decode(self, rows: Sequence[Sequence[int]], *, keep_special_tokens: bool) -> list[str]:
        """Returns the text of each row."""
        return self._tokenizer.decode_batch([list(row) for row in rows], skip_special_tokens=not keep_special_tokens)

    def id_of(self, token: str) -> int | None:
        """Returns the id of a token; None when the vocabulary lacks it."""
        return self._tokenizer.token_to_id(token)

    def token_of(self, identifier: int) -> str | None:
        """Returns the token of an id; None when the vocabulary lacks it."""
        return self._tokenizer.id_to_token(identifier)


@contextmanager
def told(problem: str) -> Iterator[None]:
    """Makes an IntegrityError of what a library runs into, which raises nothing narrower than Exception, and panics."""
    try:
        yield
    except SymbiontError:
        raise
    except BaseException as exc:
        if isinstance(exc, Exception) or is_panic(exc):
            raise IntegrityError(f"{problem}: {exc}") from exc
        raise


def check_pairs(tokenizer: Tokenizer, field: str) -> Frame:
    """Returns the frame of pairs; InvalidArgument when the tokenizer has no form for them."""
    if tokenizer.pair is None:
        problem = f"tokenizers/{tokenizer.info.digest} has no form for pairs: it would join them without a mark between"
        raise InvalidArgument(field, problem, reason="PAIRS")
    return tokenizer.pair


def _special_tokens(tokenizer: LibraryTokenizer) -> tuple[SpecialToken, ...]:
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    return tuple(SpecialToken(token.content, number) for number, token in added if token.special)


def _is_byte_level(facts: dict[str, Any]) -> bool:
    def kinds(part: Any) -> set[str]:
        if not isinstance(part, dict):
            return set()
        nested = (
            kind for key in ("pretokenizers", "normalizers") for inner in part.get(key, ()) for kind in kinds(inner)
        )
        return {str(part.get("type")), *nested}

    byte_fallback = bool(facts["model"].get("byte_fallback"))
    return byte_fallback or "ByteLevel" in kinds(facts.get("pre_tokenizer")) | kinds(facts.get("normalizer"))


def _pad_id(tokenizer: LibraryTokenizer, padding: dict[str, Any]) -> int | None:
    if padding:
        return int(padding["pad_id"])
    return next((found for name in _PAD_TOKENS if (found := tokenizer.token_to_id(name)) is not None), None)


def _unknown_id(tokenizer: LibraryTokenizer, model: dict[str, Any]) -> int | None:
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    token = model.get("unk_token")
    return tokenizer.token_to_id(token) if isinstance(token, str) else None


def _probe(tokenizer: LibraryTokenizer) -> str:
    size = tokenizer.get_vocab_size()
    tokens = (tokenizer.id_to_token(number) for number in range(0, size, max(1, size // _PROBE_TOKENS)))
    return " ".join(token for token in tokens if token)


def _words(text: str, encoding: Encoding) -> list[int]:
    """Returns for each token the number of its word.

    A tokenizer that cuts texts at spaces takes a Chinese sentence for a word. Where a script puts no spaces each token
    is a word, but for tokens of the same letter.
    """
    words = [-1 if word is None else word for word in encoding.word_ids]
    if not has_unspaced(text):
        return words
    number, before, begun, reached = -1, -1, 0, 0
    numbers = []
    for word, (start, end) in zip(words, encoding.offsets, strict=True):
        if word < 0:
            numbers.append(-1)
            continue
        if word != before or (start >= reached and has_unspaced(text[begun:end])):
            number += 1
        numbers.append(number)
        before, begun, reached = word, start, end
    return numbers


def _single_frame(tokenizer: LibraryTokenizer, digest: str) -> Frame:
    """Finds out which special tokens the post-processor puts around a text, by encoding one."""
    probe = _probe(tokenizer)
    bare = tokenizer.encode(probe, add_special_tokens=False).ids
    whole = tokenizer.encode(probe)
    before = next((i for i, special in enumerate(whole.special_tokens_mask) if not special), 0)
    stop = before + len(bare)
    types = whole.type_ids
    frame = Frame(
        before=whole.ids[:before],
        between=[],
        after=whole.ids[stop:],
        before_types=types[:before],
        first_type=types[before] if bare else 0,
        between_types=[],
        second_type=0,
        after_types=types[stop:],
    )
    if frame.before + bare + frame.after != whole.ids or frame.size != tokenizer.num_special_tokens_to_add(False):
        raise IntegrityError(f"tokenizers/{digest}: its special tokens do not stand around the text alone")
    return frame


def _pair_frame(tokenizer: LibraryTokenizer) -> Frame | None:
    """Finds out the form of pairs; None when there is none, or nothing would stand between the two texts."""
    probe = _probe(tokenizer)
    bare = tokenizer.encode(probe, add_special_tokens=False).ids
    try:
        whole = tokenizer.encode(probe, probe)
    except Exception:  # noqa: BLE001, the library raises nothing narrower; no form for pairs is no fault
        return None
    places = whole.sequence_ids
    if not bare or places.count(0) != len(bare) or places.count(1) != len(bare):
        return None
    first, second = places.index(0), places.index(1)
    first_stop, second_stop = first + len(bare), second + len(bare)
    ids, types = whole.ids, whole.type_ids
    if second <= first_stop or ids[first:first_stop] != bare or ids[second:second_stop] != bare:
        return None
    return Frame(
        before=ids[:first],
        between=ids[first_stop:second],
        after=ids[second_stop:],
        before_types=types[:first],
        first_type=types[first],
        between_types=types[first_stop:second],
        second_type=types[second],
        after_types=types[second_stop:],
    )
