"""What a model is asked about, in the plainest form that says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

FieldValue = float | bool | str
Priority = Literal["interactive", "batch"]
# What an explanation hides at a time.
Granularity = Literal["word", "sentence"]
OffsetUnit = Literal["code_point", "utf8_byte", "utf16_unit"]


@dataclass(frozen=True)
class Text:
    """A text with business fields beside it, by name; those that are left out count as missing."""

    text: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two texts that are looked at together, and business fields beside them."""

    first: str
    second: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)


@dataclass(frozen=True)
class QuestionContext:
    """A question and the text that may hold its answer."""

    question: str
    context: str


@dataclass(frozen=True)
class Query:
    """A query and what to rank for it: texts, or the name of a stored catalogue."""

    text: str
    candidates: Sequence[str] = ()
    catalogue: str = ""


# A plain string is a text, a tuple of two is a pair.
Input = str | tuple[str, str] | Text | Pair | QuestionContext | Query
# One request of a stream: an id of the caller's own, and what it asks about.
Batch = tuple[str, Sequence[Input]]
