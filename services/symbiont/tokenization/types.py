"""What the tokenization service speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SpecialToken:
    """A token that no text can hide in, for example `[CLS]`."""

    token: str
    id: int


@dataclass(frozen=True)
class TokenizerInfo:
    """What a caller may know of a tokenizer. `max_tokens` counts special tokens too."""

    digest: str
    family: str
    vocabulary_size: int
    max_tokens: int
    special_tokens: tuple[SpecialToken, ...]


@dataclass(frozen=True)
class TokenizeCall:
    """A batch of texts to tokenize; `max_tokens` 0 asks for the tokenizer's own maximum."""

    tokenizer: str
    texts: Sequence[str]
    max_tokens: int = 0


@dataclass(frozen=True)
class Encoded:
    """Token ids of a batch: the rows one after another, and how long each is after and before truncation."""

    ids: list[int]
    lengths: list[int]
    original_lengths: list[int]
    digest: str

    @property
    def truncated(self) -> int:
        """How many texts were cut."""
        return sum(n < original for n, original in zip(self.lengths, self.original_lengths, strict=True))
