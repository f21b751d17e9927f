"""What the tokenization service speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto


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


class OffsetUnit(Enum):
    """What offsets count."""

    CODE_POINT = auto()
    UTF8_BYTE = auto()
    UTF16_UNIT = auto()


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


@dataclass(frozen=True)
class Batch:
    """Texts, or pairs of texts. `size` is what they take on the wire, in bytes."""

    texts: Sequence[str]
    pairs: Sequence[str] = ()
    size: int = 0


@dataclass(frozen=True)
class Settings:
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
    ids: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    original_lengths: list[int] = field(default_factory=list)
    text_indices: list[int] = field(default_factory=list)
    attention_mask: list[int] = field(default_factory=list)
    type_ids: list[int] = field(default_factory=list)
    special_tokens_mask: list[int] = field(default_factory=list)
    sequence_ids: list[int] = field(default_factory=list)
    word_ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)


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
