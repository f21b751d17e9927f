"""Answers to questions without training: the sentence of the context that shares most words with the question."""

import re
from collections.abc import Sequence

from symbiont.common.sentences import sentences
from symbiont.evaluation import Answered, answered
from symbiont.solutions.outcomes import judged_rows
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.rows import SolutionRow

# Words, and Chinese letters one by one.
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


def overlap(recipe: Recipe, train: Sequence[SolutionRow], test: Sequence[SolutionRow]) -> Answered:
    """Returns the nearest sentence of each context."""
    said = [nearest_sentence(row.text, row.pair) for row in test]
    return answered(judged_rows(test), said, [[one["text"] for one in row.label] for row in test])


def nearest_sentence(question: str, context: str) -> str:
    """Returns the sentence of a context that shares most words with a question, the first of several."""
    asked = set(_WORD.findall(question.lower()))
    parts = [context[start:end] for start, end in sentences(context)]
    return max(parts, key=lambda one: len(asked & set(_WORD.findall(one.lower()))), default="")
