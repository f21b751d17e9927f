"""A stream is asked about as it comes."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from symbiont.solutions.warning.counting import Told, TopicCounter, count_stream


class Asked:
    """A client that says `bad` of every text, and remembers how many were read when it was asked."""

    def __init__(self, rows: int) -> None:
        self.read, self.calls = 0, list[tuple[int, int]]()
        self._rows = rows

    def stream(self) -> Iterator[Told]:
        for number in range(self._rows):
            self.read += 1
            yield f"topic {number % 2}", f"text {number}"

    def predict(self, model: str, texts: list[str]) -> Any:
        self.calls.append((self.read, len(texts)))
        return SimpleNamespace(predictions=[SimpleNamespace(label="bad") for _ in texts])


@pytest.mark.parametrize(
    ("more", "calls"),
    [(True, [(32, 32), (64, 32), (70, 6)]), (False, [(number, 1) for number in range(1, 71)])],
)
def test_what_has_come_does_not_wait_for_what_has_not(more: bool, calls: list[tuple[int, int]]) -> None:
    client, registry = Asked(70), CollectorRegistry()
    counter = TopicCounter(registry, "news", ["bad"])
    assert count_stream(client, "news@production", client.stream(), counter, lambda: more) == 70  # type: ignore[arg-type]
    assert client.calls == calls
    name, labels = "symbiont_solution_rows_total", {"solution": "news", "label": "bad"}
    assert [registry.get_sample_value(name, {"topic": f"topic {n}", **labels}) for n in (0, 1)] == [35, 35]
