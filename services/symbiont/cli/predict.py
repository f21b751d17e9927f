"""`symbiont predict`: asks a model."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer

from symbiont.cli.console import make_console
from symbiont.cli.inputs import FieldOption, fields_of, inputs_of
from symbiont.cli.predictions import document, results_table
from symbiont.cli.target import with_client
from symbiont.cli.texts import lines_of
from symbiont.client import Client, Explanations, Predictions
from symbiont.client.inputs import Input

# As many texts a call as keeps a file moving without a long first wait.
TEXTS_A_CALL = 128
ModelArgument = Annotated[str, typer.Argument(help="MODEL, MODEL@ALIAS, MODEL/versions/NUMBER or bundles/DIGEST.")]


@with_client
def predict(
    client: Client,
    model: ModelArgument,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT...", help="Texts to predict on.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="File with one text a line; - reads stdin.",
        ),
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="Second text, for models that look at two; each TEXT is a first one.")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Text that may hold the answers; each TEXT is a question.")
    ] = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(help="Text to rank; each TEXT is a query. May be given several times."),
    ] = None,
    catalogue: Annotated[str, typer.Option(help="Stored catalogue to rank; each TEXT is a query.")] = "",
    field: FieldOption = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            "-k",
            min=0,
            help="Best classes, labels, names, answers or matches of each text; 0: all, but of answers "
            "the best one. Default: one class or answer, all of the others.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least probability of a label, name or answer, or score of a match.")
    ] = None,
    routing_key: Annotated[
        str, typer.Option(help="While a release tries another version, the same key gets the same one.")
    ] = "",
    priority: Annotated[Literal["interactive", "batch"], typer.Option(help="How urgent it is.")] = "interactive",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a text, with the digests.")] = False,
) -> None:
    """Predicts with a model: classes, labels, scores, names, answers, vectors, rankings, as its task has it.

    Example: symbiont predict sentiment "A joy from start to end." --top-k 2
    """
    everything = [*(texts or []), *(lines_of(file) if file else [])]
    if not everything:
        raise typer.BadParameter("give at least one text, or --file", param_hint="TEXT...")
    inputs = inputs_of(everything, pair, context, candidate or [], catalogue, fields_of(field or []))
    for chunk in _chunks(inputs, TEXTS_A_CALL):
        answer = client.predict(
            model, chunk, top_k or 0, threshold=threshold, routing_key=routing_key, priority=priority
        )
        _print_json(chunk, answer, top_k) if as_json else _print_table(chunk, answer, top_k)


def _chunks(items: Iterable[Input], size: int) -> Iterator[list[Input]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _print_json(inputs: Sequence[Input], answer: Predictions, top_k: int | None) -> None:
    for given, prediction in zip(inputs, answer.predictions, strict=True):
        line = {**document(given, prediction, top_k), "truncated": prediction.truncated, **served(answer)}
        print(json.dumps(line, ensure_ascii=False))


def _print_table(inputs: Sequence[Input], answer: Predictions, top_k: int | None) -> None:
    make_console().print(results_table(inputs, answer.predictions, top_k))
    print_source(answer)


def served(answer: Predictions | Explanations) -> dict[str, str]:
    """Returns the names and digests of what answered."""
    return {
        "model_version": answer.model_version,
        "base_digest": answer.base_digest,
        "tokenizer_digest": answer.tokenizer_digest,
        "bundle_digest": answer.bundle_digest,
    }


def print_source(answer: Predictions | Explanations) -> None:
    """Prints what answered and how long it took: beside the answers, for a person; a pipe gets the answers alone."""
    stages = answer.stages
    parts = [answer.model_version] if answer.model_version else []
    parts.append(f"bundle {answer.bundle_digest[:12]}")
    parts.append(f"resolve {stages.resolve:.1f} ms, tokenize {stages.tokenize:.1f} ms, infer {stages.infer:.1f} ms")
    make_console(stderr=True).print(f"[dim]{'  '.join(parts)}[/]")
