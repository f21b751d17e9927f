"""Cheap features of texts, and what a cheap model says of them: no language, no network, a few seconds.

Runs of one to four characters, hashed and weighted (TF-IDF), which serve Chinese and English alike, and a logistic
regression on them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, issparse  # type: ignore[import-untyped]
from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression, SGDClassifier  # type: ignore[import-untyped]
from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

from symbiont.training.data.rows import Row

# [rows, n], dense or sparse.
Features = Any
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_COLUMNS = 1 << 18
# Of a long text the beginning says enough.
_CHARACTERS = 4_000
FOLDS = 5
# Above, one model for all classes at once takes minutes.
_MOST_CLASSES = 10


class Vectorizer:
    """Learns the weights of features from rows, and makes the features of others with them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._hashing = HashingVectorizer(
            analyzer="char_wb", ngram_range=(1, 4), n_features=_COLUMNS, alternate_sign=False, norm=None
        )
        self._weights = TfidfTransformer(sublinear_tf=True)
        self.features: csr_matrix = self._weights.fit_transform(self._count(rows))

    def of(self, rows: Sequence[Row]) -> csr_matrix:
        """Returns the features of other rows."""
        return self._weights.transform(self._count(rows))

    def _count(self, rows: Sequence[Row]) -> csr_matrix:
        return self._hashing.transform(f"{row.text[:_CHARACTERS]}\n{row.pair[:_CHARACTERS]}" for row in rows)


def present(features: Features) -> Any:
    """Returns the columns that rows have: most are of texts that are not here, and cost as much as the others.

    Where no row has any, as with empty texts, all of them: nothing can be learned of none.
    """
    return np.unique(features.indices) if issparse(features) and features.nnz else slice(None)


def model(features: Features, classes: Ints, seed: int) -> Any:
    """Returns a logistic regression that has learned; it wants at least two classes."""
    if len(np.unique(classes)) <= _MOST_CLASSES:
        made = LogisticRegression(C=10.0, max_iter=200)
    else:
        made = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=20, tol=1e-3, random_state=seed)
    return made.fit(features, classes)


def probabilities(fitted: Any, features: Features, count: int) -> Floats:
    """Returns [rows, classes]: what a model says of rows, 0 for classes that it has not seen."""
    made = np.zeros((features.shape[0], count))
    made[:, fitted.classes_] = fitted.predict_proba(features)
    return made


def cross_validated(features: Features, classes: Ints, count: int, seed: int) -> Floats:
    """Returns [rows, classes]: what a model says of each row that has learned from others only.

    Every class must have at least two rows.
    """
    folds = min(FOLDS, int(np.bincount(classes, minlength=count).min()))
    made = np.zeros((len(classes), count))
    features = features[:, present(features)]
    for learned, asked in StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, classes):
        fitted = model(features[learned], classes[learned], seed)
        made[asked] = probabilities(fitted, features[asked], count)
    return made


def condensed(features: Features, seed: int) -> Floats:
    """Returns features in a few dimensions, for distances between rows: directions of unit length."""
    features = features[:, present(features)]
    width = min(64, features.shape[0] - 1, features.shape[1] - 1)
    if width < 1 or not abs(features).sum():
        return np.ones((features.shape[0], 1))
    wide = features.shape[1] > width
    dense: Floats = np.asarray(TruncatedSVD(width, random_state=seed).fit_transform(features) if wide else features)
    made: Floats = dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)
    return made
