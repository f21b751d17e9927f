"""What the tokenization service speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from symbiont.common.offsets import OffsetUnit


@dataclass(frozen=True)
class SpecialToken:
    """A token that no text can hide in, for example `[CLS]`."""

    token: str
    id: int


@dataclass(frozen=True)
class TokenizerInfo:
    """What a caller may know of a tokenizer. Lengths and `max_tokens` count special tokens too."""

    digest: str
    family: str
    vocabulary_size: int
    max_tokens: int
    special_tokens: tuple[SpecialToken, ...]
    ids: tuple[str, ...] = ()
    parent: str = ""
    byte_level: bool = False
    slow: bool = False
    takes_pairs: bool = False
    special_tokens_per_text: int = 0
    special_tokens_per_pair: int = 0
    pad_id: int | None = None
    unknown_id: int | None = None


@dataclass(frozen=True)
class Source:
    """Where a tokenizer lies: `kind` is `folder` or `package`; `detail` is a folder in the package."""

    kind: str
    location: str
    detail: str = ""


class Truncation(Enum):
    """What to do with a text that is too long."""

    LONGEST_FIRST = auto()
    ONLY_FIRST = auto()
    ONLY_SECOND = auto()
    REFUSE = auto()


class Output(Enum):
    """What can be asked for beside the ids."""

    ATTENTION_MASK = auto()
    TYPE_IDS = auto()
    SPECIAL_TOKENS_MASK = auto()
    SEQUENCE_IDS = auto()
    WORD_IDS = auto()
    TOKENS = auto()
    OFFSETS = auto()
    CUTS = auto()


@dataclass(frozen=True)
class Padding:
    """How rows are filled up: to `length`, or to the longest for 0; then to a multiple."""

    length: int = 0
    multiple_of: int = 1
    left: bool = False


@dataclass(frozen=True)
class Options:
    """How to tokenize. `stride` None asks for no windows; `left` cuts at the beginning."""

    truncation: Truncation = Truncation.LONGEST_FIRST
    left: bool = False
    stride: int | None = None
    padding: Padding | None = None
    outputs: frozenset[Output] = frozenset()
    unit: OffsetUnit = OffsetUnit.CODE_POINT
    omit_special_tokens: bool = False


DEFAULTS = Options()


# A tuple, as `Settings` is: every call makes one, and a frozen dataclass takes 1.6 times as long to make.
class Batch(NamedTuple):
    """Texts, or pairs of texts. `size` is what they take on the wire, in bytes."""

    texts: Sequence[str]
    pairs: Sequence[str] = ()
    size: int = 0


class Settings(NamedTuple):
    """Which tokenizer, and how; `max_tokens` 0 asks for the default."""

    tokenizer: str
    max_tokens: int = 0
    options: Options = DEFAULTS


@dataclass(frozen=True)
class Cut:
    """What one text lost: tokens, and the part of the text that they stood for."""

    text: int
    second: bool
    tokens: int
    start: int
    end: int


@dataclass
class Encoded:
    """Rows of tokens one after another; arrays that were not asked for are empty."""

    digest: str
    ids: Sequence[int] = ()
    lengths: Sequence[int] = ()
    original_lengths: Sequence[int] = ()
    text_indices: Sequence[int] = ()
    attention_mask: Sequence[int] = ()
    type_ids: Sequence[int] = ()
    special_tokens_mask: Sequence[int] = ()
    sequence_ids: Sequence[int] = ()
    word_ids: Sequence[int] = ()
    tokens: Sequence[str] = ()
    starts: Sequence[int] = ()
    ends: Sequence[int] = ()
    cuts: Sequence[Cut] = ()


@dataclass(frozen=True)
class StreamPart:
    """Some rows of a batch of a stream; `last` ends the batch."""

    batch: int
    last: bool
    rows: Encoded


@dataclass(frozen=True)
class AddedTerm:
    """A term that became a token, and the pieces that it was before."""

    term: str
    id: int
    parent_ids: tuple[int, ...]
    occurrences: int
