"""The rows of a stored dataset, one JSON object a line. All that a worker needs to know of datasets."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from symbiont.common.artifacts import ArtifactStore, canonical_json

KIND = "datasets"
# Field of the manifest: whose rows they are, where these are a tenant's.
TENANT = "tenant"
ROWS = "rows.jsonl"

# A part of a text that has a name: (start, end, name), in code points.
Mark = tuple[int, int, str]
# Where an answer is in a context: (start, end), in code points.
Place = tuple[int, int]
Label = str | float | tuple[str, ...] | tuple[Mark, ...] | tuple[Place, ...] | None
FieldValue = str | float | bool


class LabelKind(StrEnum):
    """What the label of every row of a dataset is; the names are those of the proto without their prefix."""

    # One name: a class. `Row.label` is a str.
    CLASS = "CLASS"
    # Any number of different names, sorted: a tuple of str.
    CLASSES = "CLASSES"
    # A finite number: a float.
    NUMBER = "NUMBER"
    # Named parts of the text, in its order, that do not overlap: a tuple of Mark.
    ENTITIES = "ENTITIES"
    # Where the pair, a context, answers the text, a question; empty where it does not: a tuple of Place.
    ANSWERS = "ANSWERS"
    # There is none: None.
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        label: as the dataset's `LabelKind` says.
        pair: the second text; empty where there is none.
        fields: what stands beside the text, by name; a value that is missing is left out.
        group: rows of one group belong on one side of a split; empty where there is none.
        time: when it is from, ISO 8601; empty where that is not known.
        subject: whose data it is; empty where that is not known.
        origin: number of the row, from 0, in the dataset that this one was made of; -1 where it was uploaded.
        place: digest of the stored dataset that it was read from, and its number there, from 0; it is not part of what
            the row is.
    """

    text: str
    label: Label = None
    pair: str = ""
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    group: str = ""
    time: str = ""
    subject: str = ""
    origin: int = -1
    place: tuple[str, int] = field(default=("", -1), compare=False)


def read_rows(artifacts: ArtifactStore, digest: str) -> Iterator[Row]:
    """Yields the rows of a stored dataset, in order."""
    with io.TextIOWrapper(artifacts.open(KIND, digest, ROWS), encoding="utf-8") as stream:
        for number, line in enumerate(stream):
            yield row_from_json(json.loads(line), (digest, number))


def row_to_line(row: Row) -> bytes:
    """Returns the stored form of a row: what is empty is left out, so that equal rows have equal bytes."""
    values: dict[str, Any] = {
        "text": row.text,
        "label": row.label,
        "pair": row.pair or None,
        "fields": dict(row.fields) or None,
        "group": row.group or None,
        "time": row.time or None,
        "subject": row.subject or None,
        "origin": None if row.origin < 0 else row.origin,
    }
    return canonical_json({name: value for name, value in values.items() if value is not None}) + b"\n"


def row_from_json(values: Mapping[str, Any], place: tuple[str, int] = ("", -1)) -> Row:
    """Returns the row that a line of the stored form is of, which was read from there."""
    label = values.get("label")
    if isinstance(label, list):
        label = tuple(tuple(part) if isinstance(part, list) else part for part in label)
    return Row(**{**values, "label": label}, place=place)
