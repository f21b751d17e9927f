"""What a caller predicts on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Text:
    """A single text."""

    text: str


@dataclass(frozen=True)
class Pair:
    """Two texts that are looked at together."""

    first: str
    second: str


@dataclass(frozen=True)
class QuestionContext:
    """A question and the text that may hold its answer."""

    question: str
    context: str


@dataclass(frozen=True)
class Query:
    """A query and what to rank for it: texts, or, where it is named, a catalogue."""

    text: str
    candidates: Sequence[str] = ()
    catalogue: str = ""


Input = Text | Pair | QuestionContext | Query
# None: the caller named the field and gave no value.
FieldValue = float | str | bool | None


@dataclass(frozen=True)
class Instance:
    """One thing to predict on, and business fields beside it, by name."""

    input: Input
    fields: Sequence[tuple[str, FieldValue]] = field(default=())


def texts_of(given: Input) -> Mapping[str, str]:
    """Returns the texts of an input by the name of their field."""
    match given:
        case Text(text):
            return {"text": text}
        case Pair(first, second):
            return {"pair.first": first, "pair.second": second}
        case QuestionContext(question, context):
            return {"question_context.question": question, "question_context.context": context}
        case Query(text, candidates):
            return {"query.text": text} | {f"query.texts.texts[{i}]": c for i, c in enumerate(candidates)}
