"""`symbiont predict`: asks a model."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from symbiont.cli.console import make_console
from symbiont.cli.render import table
from symbiont.cli.target import with_client
from symbiont.cli.texts import lines_of
from symbiont.client import Client, Predictions

# As many texts a call as keeps a file moving without a long first wait.
TEXTS_A_CALL = 128


@with_client
def predict(
    client: Client,
    model: Annotated[str, typer.Argument(help="MODEL, MODEL@ALIAS or MODEL/versions/NUMBER.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT...", help="Texts to predict on.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="File with one text a line; - reads stdin.",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=0, help="Classes to show for each text; 0: all.")] = 1,
    routing_key: Annotated[
        str, typer.Option(help="While a release tries another version, the same key gets the same one.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a text, with the digests.")] = False,
) -> None:
    """Predicts texts with a model.

    Example: symbiont predict sentiment "A joy from start to end." --top-k 2
    """
    everything = [*(texts or []), *(lines_of(file) if file else [])]
    if not everything:
        raise typer.BadParameter("give at least one text, or --file", param_hint="TEXT...")
    for chunk in _chunks(everything, TEXTS_A_CALL):
        answer = client.predict(model, chunk, top_k, routing_key=routing_key)
        _print_json(chunk, answer) if as_json else _print_table(chunk, answer)


def _chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _print_json(texts: list[str], answer: Predictions) -> None:
    served = {
        "model_version": answer.model_version,
        "base_digest": answer.base_digest,
        "tokenizer_digest": answer.tokenizer_digest,
        "bundle_digest": answer.bundle_digest,
    }
    for text, prediction in zip(texts, answer.predictions, strict=True):
        classes = [{"label": c.label, "probability": c.probability} for c in prediction.classes]
        line = {"text": text, "classes": classes, "truncated": prediction.truncated, **served}
        print(json.dumps(line, ensure_ascii=False))


def _print_table(texts: list[str], answer: Predictions) -> None:
    rows = [
        (c.label if i else Text(c.label, style="bold"), f"{c.probability:.4f}", "" if i else _shown(text, p.truncated))
        for text, p in zip(texts, answer.predictions, strict=True)
        for i, c in enumerate(p.classes)
    ]
    console = make_console()
    console.print(table(["LABEL", ">PROBABILITY", "TEXT"], rows))
    stages = answer.stages
    # Beside the answers, for a person: a pipe gets the answers alone.
    make_console(stderr=True).print(
        f"[dim]{answer.model_version}  bundle {answer.bundle_digest[:12]}  resolve {stages.resolve:.1f} ms, "
        f"tokenize {stages.tokenize:.1f} ms, infer {stages.infer:.1f} ms[/]"
    )


def _shown(text: str, truncated: bool) -> Text:
    shown = Text(text if len(text) <= 100 else f"{text[:97]}...")
    return shown.append(" (only its beginning was read)", style="yellow") if truncated else shown
