"""What a body of texts looks like to a tokenizer: its words, and how long its token rows are."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import regex  # type: ignore[import-untyped]

_FIRST_EDGE: Final = 8

_ALONE: Final = r"[\p{Script=Hani}\p{Script=Hira}\p{Script=Kana}\p{Script=Hang}\u30fc\uff70]"
# A run starts at a letter or a digit: a mark on its own is the variation selector of an emoji, not a word. The jamo of
# a decomposed Hangul syllable stay with their first, so that both forms of a text have as many words.
_WORD: Final = regex.compile(
    rf"[[\p{{L}}\p{{N}}]--{_ALONE}][[\p{{L}}\p{{N}}\p{{M}}]--{_ALONE}]*"
    rf"|[[\p{{L}}\p{{N}}]&&{_ALONE}][\p{{M}}\u1160-\u11ff]*",
    regex.VERSION1,
)


@dataclass(frozen=True)
class Figures:
    """How a tokenizer copes with texts: counts over all of them."""

    words: int
    tokens: int
    unknown: int

    @property
    def tokens_per_word(self) -> float:
        """Tokens that a word costs on average ("fertility"); 0.0 without words."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def unknown_rate(self) -> float:
        """Share of the tokens that are the unknown token; 0.0 without tokens."""
        return self.unknown / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Bin:
    """How many texts have at most `up_to` tokens, and more than the bin before."""

    up_to: int
    texts: int


@dataclass(frozen=True)
class LengthReport:
    """How long texts are, in tokens, and what a limit takes from them.

    Attributes:
        bins: upper edges 8, 16, 32, ... until the longest text is covered; none without texts.
        median: the length that half of the texts do not exceed (nearest rank).
        p95: the length that 95 of 100 texts do not exceed (nearest rank).
        longest: the greatest length.
        truncation_rate: share of the texts that are longer than the limit.
        lost_token_rate: share of all tokens that lie beyond the limit.
    """

    bins: tuple[Bin, ...]
    median: int
    p95: int
    longest: int
    truncation_rate: float
    lost_token_rate: float


def count_words(text: str) -> int:
    """Counts words: runs of letters, digits and their marks, and each Han, kana or Hangul character by itself.

    A simplified UAX #29: it needs no dictionary, hence counts a stretch of Thai or Khmer as one word, and joins nothing
    over punctuation, hence counts "don't" as two.
    """
    return len(_WORD.findall(text))


def lengths(lengths: Sequence[int], max_tokens: int) -> LengthReport:
    """Reports on the token counts of texts, before truncation, against a limit of `max_tokens`."""
    if not lengths:
        return LengthReport((), 0, 0, 0, 0.0, 0.0)
    ordered = sorted(lengths)
    total = sum(ordered)
    longer = ordered[bisect_right(ordered, max_tokens) :]
    lost = sum(longer) - max_tokens * len(longer)
    return LengthReport(
        bins=_bins(ordered),
        median=_nearest_rank(ordered, 50),
        p95=_nearest_rank(ordered, 95),
        longest=ordered[-1],
        truncation_rate=len(longer) / len(ordered),
        lost_token_rate=lost / total if total else 0.0,
    )


def _bins(ordered: Sequence[int]) -> tuple[Bin, ...]:
    bins: list[Bin] = []
    edge, below = _FIRST_EDGE, 0
    while below < len(ordered):
        covered = bisect_right(ordered, edge)
        bins.append(Bin(edge, covered - below))
        edge, below = edge * 2, covered
    return tuple(bins)


def _nearest_rank(ordered: Sequence[int], percent: int) -> int:
    # The rank rounds up, in integers: a float would misplace it where percent * n / 100 is whole.
    return ordered[-(-percent * len(ordered) // 100) - 1]
