"""What languages and scripts texts are in."""

import functools
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
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

_LOADING: Final = threading.Lock()


@dataclass(frozen=True)
class Share:
    """A script or a language, and its part of the whole, above 0 and at most 1."""

    code: str
    share: float


def scripts(texts: Iterable[str]) -> list[Share]:
    """Returns the scripts (ISO 15924) of all letters, largest share first; letters of no listed one are Zyyy."""
    return _shares(_script_counts(texts))


def languages(texts: Iterable[str]) -> list[Share]:
    """Returns the languages (ISO 639-1) of the texts, largest share first; each text counts once.

    A text without letters, or with too few to tell, is `und`. The first call loads a model (about a second); may be
    called from any thread.
    """
    return _shares(Counter(language(text) for text in texts))


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


def language(text: str) -> str:
    """Returns the language (ISO 639-1) of a text, as `languages` does."""
    text = text[:_LANGUAGE_CHARACTERS]
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
