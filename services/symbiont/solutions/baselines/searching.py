"""Matching without training: the cosine of TF-IDF."""

from collections.abc import Sequence

import numpy as np

from symbiont.evaluation import Retrieved
from symbiont.solutions.baselines.classifying import vectorizer
from symbiont.solutions.outcomes import found_in_catalogue
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.rows import SolutionRow


def tfidf(recipe: Recipe, train: Sequence[SolutionRow], test: Sequence[SolutionRow]) -> Retrieved:
    """Returns the answers of a catalogue, nearest first, for each row to judge by.

    Args:
        train: the texts of the catalogue, with the keys of their answers as labels.
    """
    made = vectorizer(recipe)
    known = made.fit_transform([row.text for row in train])
    near = (made.transform([row.text for row in test]) @ known.T).toarray()
    order = np.argsort(-near, axis=1, kind="stable")
    labels = [str(row.label) for row in train]
    return found_in_catalogue(test, [[labels[place] for place in line] for line in order], len(set(labels)))
