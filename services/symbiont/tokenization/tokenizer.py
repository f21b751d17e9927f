"""One stored tokenizer: exactly what the `tokenizers` library gives, without the padding that its file may carry."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument
from symbiont.tokenization.types import Encoded, SpecialToken, TokenizerInfo

_PROBE_TOKENS = 64


@dataclass(frozen=True)
class _Frame:
    """The special tokens that stand around every text: `[CLS] ... [SEP]` has one before and one after."""

    before: list[int]
    after: list[int]

    @property
    def size(self) -> int:
        return len(self.before) + len(self.after)


class StoredTokenizer:
    """A tokenizer out of the artifact store. It is never changed once made, so any number of threads may use it.

    The library truncates by a setting of the shared object, which one call would change under another. Here the
    whole text is encoded and the cut is made afterwards, which also tells how long each text was.
    """

    def __init__(self, digest: str, definition: bytes, max_tokens: int) -> None:
        """Reads `definition`, the bytes of a tokenizer.json.

        Raises:
            IntegrityError: it is no tokenizer, or it puts special tokens elsewhere than around the text.
        """
        try:
            self._tokenizer = Tokenizer.from_buffer(definition)
        except Exception as exc:  # the library raises nothing narrower
            raise IntegrityError(f"tokenizers/{digest}: tokenizer.json cannot be read: {exc}") from exc
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._frame = _frame(self._tokenizer, digest)
        self.info = _describe(self._tokenizer, digest, max_tokens)

    def limit(self, requested: int) -> int:
        """Returns the number of tokens to cut at: what was asked for, or the tokenizer's maximum for 0."""
        smallest, largest = self._frame.size + 1, self.info.max_tokens
        if requested and not smallest <= requested <= largest:
            raise InvalidArgument(
                "max_tokens",
                f"{requested} is not between {smallest} (special tokens and one of text) and {largest}",
                reason="MAX_TOKENS",
            )
        return requested or largest

    def encode(self, texts: Sequence[str], max_tokens: int) -> Encoded:
        """Encodes texts, special tokens included, each cut at its end to `max_tokens`.

        The work is done outside the interpreter lock; call it from a thread.

        Raises:
            FailedPrecondition: the tokenizer has no token for some of the text, not even an unknown one.
        """
        try:
            rows = self._tokenizer.encode_batch_fast(list(texts))
        except Exception as exc:  # the library raises nothing narrower
            raise FailedPrecondition(f"tokenizers/{self.info.digest} cannot encode these texts: {exc}") from exc
        encoded = Encoded([], [], [len(row) for row in rows], self.info.digest)
        for row in rows:
            ids = row.ids
            if len(ids) > max_tokens:
                ids = ids[: max_tokens - len(self._frame.after)] + self._frame.after
            encoded.ids.extend(ids)
            encoded.lengths.append(len(ids))
        return encoded


def _describe(tokenizer: Tokenizer, digest: str, max_tokens: int) -> TokenizerInfo:
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    return TokenizerInfo(
        digest=digest,
        family=type(tokenizer.model).__name__,
        vocabulary_size=tokenizer.get_vocab_size(with_added_tokens=True),
        max_tokens=max_tokens,
        special_tokens=tuple(SpecialToken(token.content, number) for number, token in added if token.special),
    )


def _frame(tokenizer: Tokenizer, digest: str) -> _Frame:
    """Finds out which special tokens the post-processor puts before and after a text, by encoding one."""
    size = tokenizer.get_vocab_size()
    tokens = (tokenizer.id_to_token(number) for number in range(0, size, max(1, size // _PROBE_TOKENS)))
    probe = " ".join(token for token in tokens if token)
    bare = tokenizer.encode(probe, add_special_tokens=False).ids
    whole = tokenizer.encode(probe)
    before = next((i for i, special in enumerate(whole.special_tokens_mask) if not special), 0)
    frame = _Frame(whole.ids[:before], whole.ids[before + len(bare) :])
    if frame.before + bare + frame.after != whole.ids or frame.size != tokenizer.num_special_tokens_to_add(False):
        raise IntegrityError(f"tokenizers/{digest}: its special tokens do not stand around the text alone")
    return frame
