"""How right an answer is: exact match and F1, as SQuAD has them for English and CMRC 2018 for Chinese."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Floats
from symbiont.evaluation.outcomes import Answered
from symbiont.evaluation.rows import Rows

Language = Literal["en", "zh"]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
# Chinese letters one by one, other words whole.
_SEGMENTS = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+")


def answered(
    rows: Rows,
    predicted: Sequence[str],
    truths: Sequence[Sequence[str]],
    *,
    language: Language | None = None,
    confidence: Floats | None = None,
) -> Answered:
    """Returns the outcome of questions; the answers themselves are not kept.

    Args:
        rows: question and context of each.
        predicted: answers, empty for "there is none".
        truths: for each question all answers that are right; none of them where it has no answer.
        language: None takes for each row the one that its answers are written in.
        confidence: probability of each answer.

    Raises:
        InvalidArgument: there is not one answer per row.
    """
    if not len(rows) == len(predicted) == len(truths):
        raise InvalidArgument("predicted", "and truths need one entry per row")
    judged = [judge(answer, right, language) for answer, right in zip(predicted, truths, strict=True)]
    both = np.asarray(judged, np.float64).reshape(-1, 2)
    answerable = np.array([any(truth) for truth in truths], bool)
    extra = {} if confidence is None else {"confidence": confidence}
    return Answered(rows, both[:, 0], both[:, 1], answerable, **extra)


def judge(predicted: str, truths: Sequence[str], language: Language | None = None) -> tuple[float, float]:
    """Returns exact match (0 or 1) and F1 of an answer against the best of the right ones."""
    if not any(truths) or not predicted:
        right = float(not any(truths) and not predicted)
        return right, right
    chosen = language or ("zh" if any(map(_CHINESE.search, truths)) else "en")
    one = _judge_chinese if chosen == "zh" else _judge_english
    exact, f1 = zip(*(one(predicted, truth) for truth in truths if truth), strict=True)
    return max(exact), max(f1)


def _judge_english(predicted: str, truth: str) -> tuple[float, float]:
    one, other = _english_words(predicted), _english_words(truth)
    if not one or not other:
        return float(one == other), float(one == other)
    return float(one == other), _f1((Counter(one) & Counter(other)).total(), len(one), len(other))


def _english_words(text: str) -> list[str]:
    """Returns what is left without case, punctuation and articles (the official script of SQuAD)."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return _ARTICLES.sub(" ", text).split()


def _judge_chinese(predicted: str, truth: str) -> tuple[float, float]:
    exact = float(_without_punctuation(predicted) == _without_punctuation(truth))
    one, other = _SEGMENTS.findall(predicted.lower()), _SEGMENTS.findall(truth.lower())
    return exact, _f1(_common_run(one, other), len(one), len(other))


def _without_punctuation(text: str) -> str:
    kept = (letter for letter in text.lower().strip() if unicodedata.category(letter)[0] not in "PS")
    return "".join(kept)


def _common_run(one: Sequence[str], other: Sequence[str]) -> int:
    """Returns the length of the longest run that both have: what CMRC's official script counts as in common."""
    best, before = 0, [0] * (len(other) + 1)
    for left in one:
        now = [0, *(before[index] + 1 if left == right else 0 for index, right in enumerate(other))]
        best, before = max(best, *now), now
    return best


def _f1(common: int, one: int, other: int) -> float:
    return 2 * common / (one + other) if common else 0.0
