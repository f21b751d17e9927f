"""What else is judged on the same rows: plain models without a host, each a function from rows to an outcome."""

import importlib.util
from collections.abc import Callable, Sequence

from symbiont.evaluation import Outcome
from symbiont.solutions.baselines import classifying, lexicons, overlapping, remembering, searching
from symbiont.solutions.outcomes import decided_by_costs
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_evaluation import BaselineName
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
    "dictionary": remembering.dictionary,
}
# What each imports, where that is not in every installation.
_NEEDS = {"tfidf": "sklearn", "trees": "sklearn", "vader": "vaderSentiment", "snownlp": "snownlp", "als": "implicit"}


def problems(recipe: Recipe) -> list[str]:
    """Returns what is wrong with the baselines of a recipe: not of its task, or not installed."""
    names = recipe.evaluation.baselines
    fitting = _fitting(recipe)
    found = [f"{name} is none of this task's: say {', '.join(fitting)}" for name in names if name not in fitting]
    packages = {_NEEDS[name] for name in names if name in _NEEDS and not importlib.util.find_spec(_NEEDS[name])}
    return found + [f"{package} is not installed: pip install 'symbiont[solutions]'" for package in sorted(packages)]


def baseline(name: BaselineName, recipe: Recipe, train: Sequence[SolutionRow], test: Sequence[SolutionRow]) -> Outcome:
    """Returns what a baseline that fits the task says of the rows to judge by; where errors cost, it heeds that."""
    found = searching.tfidf if recipe.task.head == "embedding" else _BASELINES[name]
    return decided_by_costs(recipe, found(recipe, train, test))


def _fitting(recipe: Recipe) -> list[str]:
    if recipe.recommendation:
        return ["popularity", "als"]
    fields = ["trees"] if recipe.data and recipe.data.fields else []
    of_heads = {
        "classification": ["majority", "tfidf", "vader", "snownlp", *fields],
        "spans": ["overlap"],
        "entities": ["dictionary"],
        "embedding": ["tfidf"],
    }
    return of_heads.get(recipe.task.head, [])
