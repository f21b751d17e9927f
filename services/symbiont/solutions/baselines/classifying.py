"""Baselines that learn classes: the most frequent one, TF-IDF with logistic regression, and trees on fields alone."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from symbiont.bundle.fields import days_of
from symbiont.evaluation import Classified
from symbiont.solutions.outcomes import classified
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_rows import FieldKind
from symbiont.solutions.rows import SolutionRow

Rows = Sequence[SolutionRow]
# Scikit-learn's trees tell 255 categories apart, of which one stands for all that are rare.
_MOST_CODES = 254


def majority(recipe: Recipe, train: Rows, test: Rows) -> Classified:
    """Returns the shares of the classes for every row."""
    counts = Counter(str(row.label) for row in train)
    labels = sorted(counts)
    shares = [counts[label] / len(train) for label in labels]
    often = counts.most_common(1)[0][0]
    return classified(test, labels, [shares] * len(test), [often] * len(test))


def tfidf(recipe: Recipe, train: Rows, test: Rows) -> Classified:
    """Returns TF-IDF with logistic regression: of words and pairs of words, in Chinese of letters."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

    # C = 10 serves short texts better than scikit-learn's default.
    model = make_pipeline(vectorizer(recipe), LogisticRegression(C=10, max_iter=1000))
    model.fit(texts_of(train), [str(row.label) for row in train])
    return _predicted(model, texts_of(test), test)


def trees(recipe: Recipe, train: Rows, test: Rows) -> Classified:
    """Returns boosted trees on the business fields, without the text."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped]

    kinds = dict(sorted(recipe.data.fields.items())) if recipe.data else {}
    named = {name for name, kind in kinds.items() if kind not in ("number", "date")}
    codes = {name: _codes([str(row.fields.get(name)) for row in train]) for name in named}

    def table(rows: Rows) -> Any:
        return np.array(
            [[_cell(row, name, kind, codes.get(name)) for name, kind in kinds.items()] for row in rows], np.float64
        )

    model = HistGradientBoostingClassifier(
        categorical_features=[name in named for name in kinds],
        # Of a few hundred rows and more: deep trees learn them by heart.
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=7,
        random_state=0,
    )
    model.fit(table(train), [str(row.label) for row in train])
    return _predicted(model, table(test), test)


def vectorizer(recipe: Recipe) -> Any:
    """Returns TF-IDF for the language of a recipe."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    if recipe.language == "en":
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True)


def texts_of(rows: Rows) -> list[str]:
    """Returns the whole of what a row says."""
    return [f"{row.text} {row.pair}".strip() for row in rows]


def _predicted(model: Any, given: Any, test: Rows) -> Classified:
    found = model.predict_proba(given)
    labels = [str(label) for label in model.classes_]
    said = [labels[place] for place in found.argmax(axis=1)]
    return classified(test, labels, found.tolist(), said)


def _codes(values: Sequence[str]) -> "dict[str, int]":
    """Returns a code for each of the most frequent values; the others share the one behind them."""
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return {value: code for code, (value, _) in enumerate(counts[:_MOST_CODES])}


def _cell(row: SolutionRow, name: str, kind: FieldKind, codes: "dict[str, int] | None") -> float:
    value = row.fields.get(name)
    if codes is not None:
        # What was never learnt is to the trees as if it were not there.
        return float(codes.get(str(value), len(codes)))
    if value is None:
        return float("nan")
    return days_of(str(value))[0] if kind == "date" else float(value)
