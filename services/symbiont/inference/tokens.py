"""What inference asks of the tokenization service, and what it gets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class TokenQuery:
    """Texts, or pairs of texts, to tokenize.

    Attributes:
        pair_texts: second texts, one for each of `texts`, or none.
        stride: with a number, a text (of a pair, the second) that is too long gives several rows that overlap by so
            many tokens; without one it is cut.
        places: whether to say where in its text each token stands.
    """

    texts: Sequence[str]
    pair_texts: Sequence[str] = ()
    stride: int | None = None
    places: bool = False

    @property
    def plain(self) -> bool:
        """Whether the ids are all that is asked for."""
        return not self.pair_texts and self.stride is None and not self.places


@dataclass(frozen=True, eq=False)
class Places:
    """Where the tokens of a row stand, [tokens] each.

    Attributes:
        sequences: 0 for the first text, 1 for the second, -1 for special tokens.
        words: index of the word in its text, -1 for special tokens.
        starts, ends: code points of its text.
    """

    sequences: NDArray[np.int32]
    words: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]


@dataclass(frozen=True)
class Tokens:
    """A tokenized batch; a row is a text, or one window of it.

    Attributes:
        rows: ids of each row.
        truncated: of each text, whether it was cut.
        tokenizer_digest: of the tokenizer that did it.
        segment_starts: of each row, where its second text begins, for tokenizers that mark it; empty without pairs.
        text_of: of each row, the index of its text; empty when each text is one row.
        places: of each row; empty when they were not asked for.
    """

    rows: Sequence[Ids]
    truncated: Sequence[bool]
    tokenizer_digest: str
    segment_starts: Sequence[int] = ()
    text_of: Sequence[int] = ()
    places: Sequence[Places] = ()
