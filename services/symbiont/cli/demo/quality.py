"""How good answers are, and what a plain model without a host reaches on the same rows."""

from collections.abc import Sequence

from symbiont.cli.demo.texts import LabelledSet


def accuracy(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Returns the share of answers that are right."""
    return sum(t == p for t, p in zip(truth, predicted, strict=True)) / len(truth)


def macro_f1(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Returns the mean over the true labels of F1."""
    pairs = list(zip(truth, predicted, strict=True))
    labels = sorted(set(truth))
    return sum(_f1(pairs, label) for label in labels) / len(labels)


def baseline_accuracy(labelled: LabelledSet) -> float:
    """Returns the held-out accuracy of TF-IDF over words and pairs of words with logistic regression."""
    # Imported here because scikit-learn takes a second that no other command should wait for.
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

    # C = 10 serves the baseline better than scikit-learn's default on both sets.
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    model.fit([row.text for row in labelled.train], [row.label for row in labelled.train])
    predicted = model.predict([row.text for row in labelled.held_out])
    return accuracy([row.label for row in labelled.held_out], [str(label) for label in predicted])


def _f1(pairs: Sequence[tuple[str, str]], label: str) -> float:
    right = sum(t == p == label for t, p in pairs)
    wrong = sum((t == label) != (p == label) for t, p in pairs)
    return 2 * right / (2 * right + wrong)
