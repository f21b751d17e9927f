"""`symbiont explain`: shows what each word of a text does to a model's answer."""

import json
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
from symbiont.client import Client, Explanation, Text

BAR_WIDTH = 20


@with_client
def explain(
    client: Client,
    model: ModelArgument,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Texts to explain, at most 16.")],
    label: Annotated[str, typer.Option(help="Label to explain. Default: the one that is answered.")] = "",
    field: FieldOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a text, with the digests.")] = False,
) -> None:
    """Shows how much each word speaks for a model's answer: green for it, red against it.

    Each word is hidden once, and what the answer loses by that is what the word contributes.

    Example: symbiont explain sentiment "A joy from start to end."
    """
    fields = fields_of(field or [])
    answer = client.explain(model, [Text(text, fields) for text in texts], label=label)
    for text, explanation in zip(texts, answer.explanations, strict=True):
        if as_json:
            print(json.dumps({"text": text, **asdict(explanation), **served(answer)}, ensure_ascii=False))
        else:
            _print(text, explanation)
    if not as_json:
        print_source(answer)


def _print(text: str, explanation: Explanation) -> None:
    console, most = make_console(), max((abs(word.attribution) for word in explanation.words), default=0.0)
    console.print(RichText(explanation.label or "score", style="bold").append(f" {explanation.value:.4f}"))
    console.print(_coloured(text, explanation, most), soft_wrap=True)
    rows = [(word.text, f"{word.attribution:+.4f}", _bar(word.attribution, most)) for word in explanation.words]
    console.print(table(["WORD", ">CONTRIBUTES", ""], rows))
    if explanation.truncated:
        console.print("[yellow]only the beginning of the text was read[/]")
    console.print()


def _coloured(text: str, explanation: Explanation, most: float) -> RichText:
    shown = RichText(text)
    for word in explanation.words:
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
