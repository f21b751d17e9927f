"""What else is judged on the same rows: plain models without a host, each a function from rows to an outcome."""

import importlib.util
from collections.abc import Callable, Sequence

from symbiont.common.errors import FailedPrecondition
from symbiont.evaluation import Outcome
from symbiont.solutions.baselines import classifying, lexicons, overlapping, searching
from symbiont.solutions.recipe import BaselineName, Recipe
from symbiont.solutions.rows import SolutionRow

# From the recipe, rows to learn from and rows to judge by.
Baseline = Callable[[Recipe, Sequence[SolutionRow], Sequence[SolutionRow]], Outcome]
_BASELINES: dict[BaselineName, Baseline] = {
    "majority": classifying.majority,
    "tfidf": classifying.tfidf,
    "trees": classifying.trees,
    "vader": lexicons.vader,
    "snownlp": lexicons.snownlp,
    "overlap": overlapping.overlap,
}
# What each imports, where that is not in every installation.
_NEEDS = {"tfidf": "sklearn", "trees": "sklearn", "vader": "vaderSentiment", "snownlp": "snownlp", "als": "implicit"}


def missing_packages(names: Sequence[BaselineName]) -> list[str]:
    """Returns the packages that baselines need and that are not installed."""
    return sorted({_NEEDS[name] for name in names if name in _NEEDS and not importlib.util.find_spec(_NEEDS[name])})


def baseline(name: BaselineName, recipe: Recipe, train: Sequence[SolutionRow], test: Sequence[SolutionRow]) -> Outcome:
    """Returns what a baseline says of the rows to judge by.

    Raises:
        FailedPrecondition: the recipe's task has no such baseline.
    """
    if name == "tfidf" and recipe.task.head == "embedding":
        return searching.tfidf(recipe, train, test)
    if name not in _BASELINES:
        raise FailedPrecondition(f"the baseline {name} is none of a {recipe.task.head} model")
    return _BASELINES[name](recipe, train, test)
