"""Counts what the served model says of a stream of dated texts, by topic, for Prometheus to scrape."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter

from symbiont.client import Client
from symbiont.solutions.warning.rules import METRIC

# Topics are given by the stream; more than this are one.
MOST_TOPICS, OTHER = 200, "other"
_TEXTS_A_CALL = 32
# A topic and a text.
Told = tuple[str, str]


class TopicCounter:
    """Counts rows by topic and label. A topic is shown with 0 of every label first, so that its first row counts."""

    def __init__(self, registry: CollectorRegistry, solution: str, labels: Sequence[str]) -> None:
        self._solution, self._labels = solution, labels
        self._topics: set[str] = set()
        self._rows = Counter(
            METRIC.removesuffix("_total"),
            "Rows of a solution's stream, by topic and by what the model says of them.",
            ["solution", "topic", "label"],
            registry=registry,
        )

    def know(self, topic: str) -> str:
        """Returns the label of a topic, which is shown from now on."""
        if topic not in self._topics and len(self._topics) >= MOST_TOPICS:
            topic = OTHER
        if topic not in self._topics:
            self._topics.add(topic)
            for label in self._labels:
                self._rows.labels(self._solution, topic, label)
        return topic

    def count(self, topic: str, label: str) -> None:
        """Counts a row."""
        self._rows.labels(self._solution, self.know(topic), label).inc()


def count_stream(
    client: Client, model: str, stream: Iterable[Told], counter: TopicCounter, more: Callable[[], bool] = lambda: True
) -> int:
    """Asks the model about texts as they come, and counts; returns how many there were.

    Args:
        model: `model@alias`, a classifier.
        stream: topic and text of each; it is read as calls are made.
        more: whether another one can be read at once: what has come does not wait for what has not. By default all can.
    """
    total = 0
    for some in _together(iter(stream), more):
        for topic, _ in some:
            counter.know(topic)
        answers = client.predict(model, [text for _, text in some]).predictions
        for (topic, _), answer in zip(some, answers, strict=True):
            counter.count(topic, answer.label)
        total += len(some)
    return total


def _together(rows: Iterator[Told], more: Callable[[], bool]) -> Iterator[Sequence[Told]]:
    some: list[Told] = []
    for row in rows:
        some.append(row)
        if len(some) == _TEXTS_A_CALL or not more():
            yield some
            some = []
    if some:
        yield some
