"""What `predict` and `explain` are asked about, from the command line."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import typer

from symbiont.client.inputs import FieldValue, Input, Pair, Query, QuestionContext, Text

FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=VALUE",
        help="Business field beside each text: a number, true or false, or a category; JSON quotes make any value one. "
        "May be given several times.",
    ),
]


def inputs_of(
    texts: Sequence[str],
    pair: str | None,
    context: str | None,
    candidates: Sequence[str],
    catalogue: str,
    fields: Mapping[str, FieldValue],
) -> list[Input]:
    """Returns an input for each text, of the kind that the options say."""
    asked = [name for name, given in (("--pair", pair), ("--context", context)) if given is not None]
    asked += [name for name, some in (("--candidate", candidates), ("--catalogue", catalogue)) if some]
    if len(asked) > 1:
        raise typer.BadParameter(f"{asked[0]} and {asked[1]} do not go together", param_hint=asked[1])
    if fields and asked not in ([], ["--pair"]):
        raise typer.BadParameter(f"it does not go with {asked[0]}", param_hint="--field")
    if pair is not None:
        return [Pair(text, pair, fields) for text in texts]
    if context is not None:
        return [QuestionContext(text, context) for text in texts]
    if asked:
        return [Query(text, candidates, catalogue) for text in texts]
    return [Text(text, fields) for text in texts]


def fields_of(given: Iterable[str]) -> dict[str, FieldValue]:
    """Reads `NAME=VALUE` options."""
    fields: dict[str, FieldValue] = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{option!r} is not of the form NAME=VALUE", param_hint="--field")
        if name in fields:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--field")
        fields[name] = _value(value)
    return fields


def _value(text: str) -> FieldValue:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float | str) else text
