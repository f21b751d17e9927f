"""Tables and JSON of what models answer, by task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.table import Table
from rich.text import Text

from symbiont.cli.render import table
from symbiont.client import (
    AnswerSpans,
    Classification,
    Embedding,
    Entities,
    MultiLabel,
    Prediction,
    Query,
    Ranking,
    Result,
    Score,
    Similarity,
)
from symbiont.client.inputs import Input

Row = tuple[Any, ...]
LONGEST_TEXT = 100
# Numbers of a vector that are shown.
SHOWN_NUMBERS = 6


def results_table(inputs: Sequence[Input], predictions: Sequence[Prediction], top_k: int | None) -> Table:
    """Returns a table whose last column is the input, on the first line of its answer."""
    columns, rows_of = _TASKS[type(predictions[0].result)]
    rows: list[Row] = []
    for given, prediction in zip(inputs, predictions, strict=True):
        shown = _shown(" | ".join(_texts(given)), prediction.truncated)
        for line, row in enumerate(rows_of(_cut(prediction.result, top_k), given)):
            rows.append((*row, "" if line else shown))
    return table([*columns, "TEXT"], rows)


def document(given: Input, prediction: Prediction, top_k: int | None) -> dict[str, Any]:
    """Returns an input and its result as what JSON holds."""
    texts = _texts(given)
    result = _cut(prediction.result, top_k)
    values = {"values": result.values.tolist()} if isinstance(result, Embedding) else asdict(result)
    return {"text": texts[0], **({"second_text": texts[1]} if len(texts) > 1 else {}), **values}


def _cut(result: Result, top_k: int | None) -> Result:
    """Leaves what is answered where nothing was said of how many; who asks for a number gets it from the service."""
    if top_k is None and isinstance(result, Classification):
        return replace(result, classes=(result.decided,))
    return result


def _texts(given: Input) -> Sequence[str]:
    match given:
        case str():
            return [given]
        case tuple():
            return given
    found = asdict(given)
    return [value for name, value in found.items() if isinstance(value, str) and name != "catalogue"]


def _shown(text: str, truncated: bool) -> Text:
    shown = Text(text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}...")
    return shown.append(" (only its beginning was read)", style="yellow") if truncated else shown


def _of_classes(result: Any, given: Input) -> Iterator[Row]:
    for each in result.classes:
        yield Text(each.label, style="bold" if each == result.decided else ""), f"{each.probability:.4f}"


def _of_labels(result: Any, given: Input) -> Iterator[Row]:
    if not result.labels:
        yield Text("none", style="dim"), ""
    for each in result.labels:
        yield Text(each.label, style="bold"), f"{each.probability:.4f}"


def _of_spans(result: Any, given: Input) -> Iterator[Row]:
    if not result.spans:
        yield Text("no answer", style="dim"), f"{result.no_answer_probability:.4f}", ""
    for each in result.spans:
        yield Text(each.text, style="bold"), f"{each.probability:.4f}", f"{each.start}-{each.end}"


def _of_entities(result: Any, given: Input) -> Iterator[Row]:
    if not result.entities:
        yield Text("none", style="dim"), "", "", ""
    for each in result.entities:
        yield Text(each.type, style="bold"), each.text, f"{each.probability:.4f}", f"{each.start}-{each.end}"


def _of_embedding(result: Any, given: Input) -> Iterator[Row]:
    numbers = " ".join(f"{value:.4f}" for value in result.values[:SHOWN_NUMBERS].tolist())
    yield len(result.values), f"{numbers} ..." if len(result.values) > SHOWN_NUMBERS else numbers


def _of_ranking(result: Any, given: Input) -> Iterator[Row]:
    if not result.matches:
        yield Text("none", style="dim"), ""
    candidates = given.candidates if isinstance(given, Query) else ()
    for each in result.matches:
        yield _shown(each.id or candidates[each.index], truncated=False), f"{each.score:.4f}"


_TASKS: Mapping[type[Result], tuple[Sequence[str], Callable[[Any, Input], Iterator[Row]]]] = {
    Classification: (["LABEL", ">PROBABILITY"], _of_classes),
    MultiLabel: (["LABEL", ">PROBABILITY"], _of_labels),
    Score: ([">SCORE"], lambda result, given: iter([(f"{result.value:.4f}",)])),
    Similarity: ([">SIMILARITY"], lambda result, given: iter([(f"{result.cosine:.4f}",)])),
    AnswerSpans: (["ANSWER", ">PROBABILITY", ">PLACE"], _of_spans),
    Entities: (["TYPE", "NAME", ">PROBABILITY", ">PLACE"], _of_entities),
    Embedding: ([">SIZE", "VECTOR"], _of_embedding),
    Ranking: (["CANDIDATE", ">SCORE"], _of_ranking),
}
