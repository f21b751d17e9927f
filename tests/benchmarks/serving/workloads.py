"""What is asked of every server: the same real texts in the same order."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.cli.demo.texts import labelled_sets

SHORT_WORDS = 12
MEDIAN_WORDS, MOST_WORDS, SPREAD = 20, 300, 0.8


@dataclass(frozen=True)
class Workload:
    """Calls of so many texts each, so many at once.

    Attributes:
        calls: one list of texts a call.
        judged_by_latency: the bar is on the p50 of single calls and not on throughput.
    """

    name: str
    title: str
    calls: Sequence[Sequence[str]]
    concurrency: int
    judged_by_latency: bool = False

    @property
    def texts(self) -> int:
        """Texts in all calls together."""
        return sum(len(call) for call in self.calls)


class Corpus:
    """Texts cut out of the demo's reviews and questions, the same ones each time."""

    def __init__(self, seed: int = 11) -> None:
        self._random = random.Random(seed)
        self._rows = [row.text for labelled in labelled_sets() for row in (*labelled.train, *labelled.held_out)]
        self._random.shuffle(self._rows)
        self._words = " ".join(self._rows).split()

    def short(self, count: int) -> list[str]:
        """Returns the first 12 words of as many texts that have them; they come again when there are no more."""
        found = [words for row in self._rows if len(words := row.split()) >= SHORT_WORDS]
        return [" ".join(found[i % len(found)][:SHORT_WORDS]) for i in range(count)]

    def mixed(self, count: int) -> list[str]:
        """Returns texts of lognormal length, median 20 words, at most 300: neighbouring words of the corpus."""
        return [self._cut(self._length()) for _ in range(count)]

    def _length(self) -> int:
        return min(MOST_WORDS, max(1, round(MEDIAN_WORDS * self._random.lognormvariate(0, SPREAD))))

    def _cut(self, words: int) -> str:
        start = self._random.randrange(len(self._words) - words)
        return " ".join(self._words[start : start + words])


def workloads(scale: float = 1.0) -> list[Workload]:
    """Returns the workloads; `scale` 1 is as many calls as a p99 needs."""
    corpus = Corpus()
    short, mixed = corpus.short(round(1024 * scale)), corpus.mixed(round(512 * scale))
    many = corpus.short(32 * max(1, round(24 * scale)))
    batches = [many[i : i + 32] for i in range(0, len(many), 32)]
    return [
        Workload("short", "12 words, 32 calls at once", _singles(short), 32),
        Workload("batch", "32 texts a call, 4 calls at once", batches, 4),
        Workload("mixed", "mixed lengths, 32 calls at once", _singles(mixed), 32),
        Workload("one", "12 words, one call after another", _singles(short[: round(160 * scale)]), 1, True),
    ]


def _singles(texts: Sequence[str]) -> list[list[str]]:
    return [[text] for text in texts]
