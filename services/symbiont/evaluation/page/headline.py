"""What a version is worth, in sentences for people who know no metrics."""

from collections.abc import Iterator

from symbiont.evaluation.metrics.family import is_share
from symbiont.evaluation.report import Report
from symbiont.evaluation.words import Phrases

# Kind of outcome -> its sentences, each with the metric that it tells of; one that is not known is left out.
_SENTENCES = {
    "classified": [("right_of_100", "accuracy")],
    "multi_labelled": [("all_labels_of_100", "subset_accuracy")],
    "scored": [("off_by", "mae"), ("within_one_of_100", "within_one")],
    "tagged": [("found_of_100", "recall"), ("true_of_100", "precision")],
    "answered": [("answers_of_100", "exact_match")],
    "retrieved": [("searched_of_100", "recall_at_10")],
    "compared": [("agrees", "spearman")],
}


def sentences(report: Report, phrases: Phrases) -> Iterator[str]:
    """Yields what to say first of a version."""
    if not report.rows:
        yield phrases.say("no_rows")
    for key, metric in _SENTENCES[report.outcome]:
        if line := report.headline(metric):
            found = line.estimate
            values = {"value": found.value, "low": found.low, "high": found.high}
            written = {name: _written(phrases, metric, value) for name, value in values.items()}
            yield phrases.say(key, confidence=f"{report.confidence:.0%}", **written)
    if report.outcome == "classified" and report.rows:
        often = max(report.classes, key=lambda row: row.support)
        yield phrases.say("always", label=often.label, value=phrases.of_100(often.support / report.rows))


def _written(phrases: Phrases, metric: str, value: float) -> str:
    return phrases.of_100(value) if is_share(metric) else f"{value:.3g}"
