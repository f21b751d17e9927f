"""Matching without training: the cosine of TF-IDF."""

from collections.abc import Sequence

import numpy as np

from symbiont.common.errors import FailedPrecondition
from symbiont.evaluation import Retrieved
from symbiont.solutions.baselines.classifying import vectorizer
from symbiont.solutions.outcomes import found_in_catalogue
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.rows import SolutionRow


def tfidf(recipe: Recipe, train: Sequence[SolutionRow], test: Sequence[SolutionRow]) -> Retrieved:
    """Returns the labels of the rows that were learnt, nearest first, for each row to judge by."""
    if not all(isinstance(row.label, str) for row in train):
        raise FailedPrecondition("the baseline tfidf of an embedding needs rows with names as labels")
    made = vectorizer(recipe)
    known = made.fit_transform([row.text for row in train])
    near = (made.transform([row.text for row in test]) @ known.T).toarray()
    order = np.argsort(-near, axis=1, kind="stable")
    return found_in_catalogue(test, [[str(train[place].label) for place in line] for line in order])
