"""What a row is once it is tokenized: what a network takes, and what it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
NO_FEATURES: Floats = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A tokenized text or pair, or one window of it.

    Attributes:
        ids: [tokens], special ones included.
        text: index of the text that it is of.
        segment_start: where the second text begins, for tokenizers that mark it; 0 where there is one text.
        sequences: [tokens]: 0 for the first text, 1 for the second, -1 for special tokens. This and what follows is
            there where places were asked for.
        words: [tokens]: index of the word in its text, -1 for special tokens.
        starts, ends: [tokens]: code points of its text.
    """

    ids: Ints
    text: int
    segment_start: int = 0
    sequences: Ints | None = None
    words: Ints | None = None
    starts: Ints | None = None
    ends: Ints | None = None


class Tokenize(Protocol):
    """How a worker has texts tokenized."""

    def __call__(
        self,
        digest: str,
        texts: Sequence[str],
        max_tokens: int,
        *,
        pairs: Sequence[str] = (),
        stride: int | None = None,
        places: bool = False,
    ) -> list[Encoded]:
        """Returns what became of texts, or pairs of them, in their order.

        With a stride, a text (of a pair, the second) that is too long gives several windows that overlap by so many
        tokens; without one it is cut.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """What a network takes at once, as long as its tokens are.

    Attributes:
        ids: [tokens].
        segment_start: as in Encoded.
        features: encoded business fields.
        second: what stands beside it, for heads that compare two texts.
    """

    ids: Ints
    segment_start: int = 0
    features: Floats = field(default_factory=lambda: NO_FEATURES)
    second: "Example | None" = None

    def __len__(self) -> int:
        return len(self.ids) if self.second is None else max(len(self.ids), len(self.second.ids))


def alone(row: Any) -> Any:
    """Returns a row without what stands beside it."""
    return replace(row, second=None) if isinstance(row, Example) and row.second is not None else row


def sides(rows: Sequence[Any]) -> list[Any]:
    """Returns all rows, and behind them what stands beside them."""
    return [*rows, *(row.second for row in rows if isinstance(row, Example) and row.second is not None)]
