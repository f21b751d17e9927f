"""What a body of texts looks like to a tokenizer: words, scripts, languages, and how long its token rows are."""

import functools
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import regex  # type: ignore[import-untyped]
from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

UNDETERMINED: Final = "und"
"""ISO 639's code for a text whose language cannot be told."""

OTHER_SCRIPT: Final = "Zyyy"
"""ISO 15924's code for letters of no listed script."""

# The language of a long text shows early; the rest of it would only cost time.
_LANGUAGE_CHARACTERS: Final = 512
# Below it the model guesses: it takes "thanks" alone for Xhosa (0.13), but "refund please" rightly for English (0.36).
_LEAST_CONFIDENCE: Final = 0.2
_FIRST_EDGE: Final = 8

# Unicode counts these as common to several scripts, although a text uses each with one of them only.
_SHARED_LETTERS: Final = {"Kana": "\u30fc\uff70", "Arab": "\u0640"}
_SCRIPTS: Final = (
    *("Latn", "Hani", "Hira", "Kana", "Hang", "Cyrl", "Arab", "Hebr", "Grek", "Thai", "Deva"),
    *("Armn", "Beng", "Bopo", "Cher", "Ethi", "Geor", "Gujr", "Guru", "Khmr", "Knda", "Laoo"),
    *("Mlym", "Mong", "Mymr", "Orya", "Sinh", "Syrc", "Taml", "Telu", "Thaa", "Tibt"),
)
_SCRIPT: Final = regex.compile(
    "|".join(rf"(?P<{code}>[\p{{Script={code}}}{_SHARED_LETTERS.get(code, '')}])" for code in _SCRIPTS)
)

_ALONE: Final = r"[\p{Script=Hani}\p{Script=Hira}\p{Script=Kana}\p{Script=Hang}\u30fc\uff70]"
# A run starts at a letter or a digit: a mark on its own is the variation selector of an emoji, not a word. The jamo of
# a decomposed Hangul syllable stay with their first, so that both forms of a text have as many words.
_WORD: Final = regex.compile(
    rf"[[\p{{L}}\p{{N}}]--{_ALONE}][[\p{{L}}\p{{N}}\p{{M}}]--{_ALONE}]*"
    rf"|[[\p{{L}}\p{{N}}]&&{_ALONE}][\p{{M}}\u1160-\u11ff]*",
    regex.VERSION1,
)

_LOADING: Final = threading.Lock()


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
class Share:
    """A script or a language, and its part of the whole, above 0 and at most 1."""

    code: str
    share: float


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


def scripts(texts: Iterable[str]) -> list[Share]:
    """Returns the scripts (ISO 15924) of all letters, largest share first; letters of no listed one are Zyyy."""
    return _shares(_script_counts(texts))


def languages(texts: Iterable[str]) -> list[Share]:
    """Returns the languages (ISO 639-1) of the texts, largest share first; each text counts once.

    A text without letters, or with too few to tell, is `und`. The first call loads a model (about a second); may be
    called from any thread.
    """
    return _shares(Counter(_language(text[:_LANGUAGE_CHARACTERS]) for text in texts))


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


def _shares(counts: Mapping[str, int]) -> list[Share]:
    total = sum(counts.values())
    # Equal shares go by code, so that the same texts in another order give the same answer.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Share(code, count / total) for code, count in ranked]


def _script_counts(texts: Iterable[str]) -> Counter[str]:
    # Few characters make up many texts: counting them first leaves little to look up.
    characters: Counter[str] = Counter()
    for text in texts:
        characters.update(text)
    counts: Counter[str] = Counter()
    for character, count in characters.items():
        # Exactly the general categories L*: vowel signs, which are marks, belong to a letter that is counted already.
        if character.isalpha():
            counts[_script(character)] += count
    return counts


@functools.lru_cache(maxsize=1 << 16)
def _script(letter: str) -> str:
    match = _SCRIPT.match(letter)
    return OTHER_SCRIPT if match is None else str(match.lastgroup)


def _language(text: str) -> str:
    counts = _script_counts([text])
    letters = counts.total()
    if not letters:
        return UNDETERMINED
    kana = counts["Hira"] + counts["Kana"]
    # The script alone settles these, and better than the model, which short Chinese texts confuse.
    if counts["Hani"] * 2 > letters and not kana:
        return "zh"
    if kana * 2 > letters:
        return "ja"
    if counts["Hang"] * 2 > letters:
        return "ko"
    code, _ = _identifier().classify(text)
    return str(code)


def _identifier() -> LanguageIdentifier:
    # A cache alone would let two threads that come first load the model twice.
    with _LOADING:
        return _load_identifier()


@functools.cache
def _load_identifier() -> LanguageIdentifier:
    # Probabilities, because raw scores cannot tell a guess from an answer: a text in which the model finds nothing
    # would get the first language of its list.
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=_LEAST_CONFIDENCE)
    # ISO 639-1 has two letters; the rest are dialects that would split the votes of Chinese, English or Arabic.
    identifier.set_languages([label for label in identifier.labels if len(label) == 2])
    return identifier


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
