"""Sentiment without training: VADER's lexicon (Hutto and Gilbert 2014, ICWSM) and SnowNLP's model for Chinese."""

from collections.abc import Callable, Sequence

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation import Classified
from symbiont.solutions.outcomes import classified
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.rows import SolutionRow

Rows = Sequence[SolutionRow]
NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"
# From how far off the middle a text is not neutral, as VADER's authors say; of SnowNLP's 0 to 1, stretched to -1 to 1.
_VADER_APART, _SNOWNLP_APART = 0.05, 0.2


def vader(recipe: Recipe, train: Rows, test: Rows) -> Classified:
    """Returns what VADER says of English texts."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return _sided(train, test, lambda text: float(analyzer.polarity_scores(text)["compound"]), _VADER_APART)


def snownlp(recipe: Recipe, train: Rows, test: Rows) -> Classified:
    """Returns what SnowNLP says of Chinese texts; it was trained on reviews that public sets are made of."""
    from snownlp import SnowNLP

    return _sided(train, test, lambda text: 2 * float(SnowNLP(text).sentiments) - 1, _SNOWNLP_APART)


def _sided(train: Rows, test: Rows, score: Callable[[str], float], apart: float) -> Classified:
    labels = sorted({str(row.label) for row in train})
    if not {NEGATIVE, POSITIVE} <= set(labels) <= {NEGATIVE, NEUTRAL, POSITIVE}:
        raise InvalidArgument(
            "evaluation.baselines", f"vader and snownlp say negative, neutral and positive, not {labels}"
        )
    least = apart if NEUTRAL in labels else 0.0
    said = [_side(score(row.text), least) for row in test]
    probabilities = [[1.0 if label == one else 0.0 for label in labels] for one in said]
    return classified(test, labels, probabilities, said)


def _side(value: float, apart: float) -> str:
    if apart and abs(value) < apart:
        return NEUTRAL
    return POSITIVE if value >= 0 else NEGATIVE
