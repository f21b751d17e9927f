"""`symbiont explain`: shows what each word of a text, or each sentence, and each field does to a model's answer."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.color import Color
from rich.style import Style
from rich.text import Text as RichText

from symbiont.cli.console import make_console
from symbiont.cli.inputs import FieldOption, fields_of
from symbiont.cli.predict import ModelArgument, print_source, served
from symbiont.cli.render import table
from symbiont.cli.target import with_client
from symbiont.client import Client, Explanation, Pair, Text
from symbiont.client.inputs import Granularity, Input

BAR_WIDTH = 20
# A sentence in a table is cut here.
_MOST_SHOWN = 60


@with_client
def explain(
    client: Client,
    model: ModelArgument,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Texts to explain, at most 16.")],
    pair: Annotated[
        str | None, typer.Option(help="Second text, for models that look at two; each TEXT is a first one.")
    ] = None,
    label: Annotated[str, typer.Option(help="Label to explain. Default: the one that is answered.")] = "",
    by: Annotated[Granularity, typer.Option(help="What is hidden at a time.")] = "word",
    field: FieldOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a text, with the digests.")] = False,
) -> None:
    """Shows how much each word and each field speaks for a model's answer: green for it, red against it.

    Each word is hidden once, and what the answer loses by that is what the word contributes. Of long texts,
    `--by sentence` tells which sentence an answer rests on.

    Example: symbiont explain sentiment "A joy from start to end."
    """
    fields = fields_of(field or [])
    inputs: list[Input] = [Text(text, fields) if pair is None else Pair(text, pair, fields) for text in texts]
    answer = client.explain(model, inputs, label=label, granularity=by)
    for text, explanation in zip(texts, answer.explanations, strict=True):
        if as_json:
            print(json.dumps({"text": text, **asdict(explanation), **served(answer)}, ensure_ascii=False))
        else:
            _print([text] if pair is None else [text, pair], explanation, by)
    if not as_json:
        print_source(answer)


def _print(texts: Sequence[str], explanation: Explanation, by: Granularity) -> None:
    console = make_console()
    falls = [one.attribution for one in explanation.words] + [one.attribution for one in explanation.fields]
    most = max(map(abs, falls), default=0.0)
    console.print(RichText(explanation.label or "score", style="bold").append(f" {explanation.value:.4f}"))
    for sequence, text in enumerate(texts):
        console.print(_coloured(text, explanation, most, sequence), soft_wrap=True)
    rows = [(_short(one.text), f"{one.attribution:+.4f}", _bar(one.attribution, most)) for one in explanation.words]
    console.print(table([by.upper(), ">CONTRIBUTES", ""], rows))
    if explanation.fields:
        rows = [(one.name, f"{one.attribution:+.4f}", _bar(one.attribution, most)) for one in explanation.fields]
        console.print(table(["FIELD", ">CONTRIBUTES", ""], rows))
    if explanation.truncated:
        console.print("[yellow]only the beginning of the text was read[/]")
    console.print()


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _coloured(text: str, explanation: Explanation, most: float, sequence: int = 0) -> RichText:
    shown = RichText(text)
    for word in explanation.words:
        if word.sequence == sequence:
            shown.stylize(_style(word.attribution, most), word.start, word.end)
    return shown


def _style(attribution: float, most: float) -> Style:
    """Returns a background that is the stronger, the more a word contributes."""
    strength = round(160 * abs(attribution) / most) if most else 0
    if not strength:
        return Style.null()
    background = Color.from_rgb(0, strength, 0) if attribution > 0 else Color.from_rgb(strength, 0, 0)
    # On a bright terminal too, letters must stand out from it.
    return Style(color="bright_white", bgcolor=background)


def _bar(attribution: float, most: float) -> RichText:
    length = round(BAR_WIDTH * abs(attribution) / most) if most else 0
    return RichText("█" * length, style="green" if attribution > 0 else "red")
