"""What a table is about, guessed from its cells: which column is the text, which the label, what it is written in."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Literal

from symbiont.common.errors import InvalidArgument
from symbiont.solutions.reading import ROW, Record, UnreadableError, read
from symbiont.solutions.recipe_rows import FieldKind, Source

Language = Literal["en", "mixed"]
# Names that label columns have, the surest first.
_LABELS = (
    "label",
    "labels",
    "class",
    "category",
    "intent",
    "sentiment",
    "target",
    "topic",
    "polarity",
    "rating",
    "stars",
)
_LANGUAGES = ("language", "lang", "locale")
# What is named more often than this is a column of names, not of classes.
MOST_CLASSES = 300
# A class needs some rows: of a column whose values all but differ, each names its row.
_ROWS_OF_A_CLASS = 3
# Characters from which a cell is read, and not looked up; Chinese says as much in fewer.
_LEAST_TEXT = 5
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Share of rows with Chinese from which a base must know it.
_SOME = 0.02
# Letters that a token stands for, about; where texts are cut, nearly none is longer.
_LETTERS, _CHINESE_LETTERS = 4.0, 1.3
_CUTS, _COVERED = (32, 64, 128, 256), 0.95


@dataclass(frozen=True)
class Guess:
    """What was found out about a table.

    Attributes:
        text, label: their columns.
        classes: names of the labels in the table, and how many rows each has, the most frequent first.
        language: `mixed` where some of the texts are Chinese.
        max_tokens: where texts are cut.
        cut: share of the texts that are longer, about.
        rows: how many there are.
        empty: numbers of the rows without a text or a label.
        slices: columns that say a language.
        fields: other columns that a model may be given, and their kinds.
    """

    text: str
    label: str
    classes: Mapping[str, int]
    language: Language
    max_tokens: int
    cut: float
    rows: int
    empty: tuple[int, ...]
    slices: tuple[str, ...]
    fields: Mapping[str, FieldKind]

    def said(self) -> Iterator[str]:
        """Yields a line for each thing that was found out, to be looked at."""
        names = ", ".join(f"{name} ({count:,})" for name, count in list(self.classes.items())[:6])
        more = f" and {len(self.classes) - 6} more" if len(self.classes) > 6 else ""
        yield f"text: column {self.text!r}, cut after {self.max_tokens} tokens (about {self.cut:.0%} are longer)"
        yield f"label: column {self.label!r}, {len(self.classes)} classes in {self.rows:,} rows: {names}{more}"
        yield f"language: {'Chinese and English' if self.language == 'mixed' else 'English'}"
        if single := [name for name, count in self.classes.items() if count == 1]:
            yield f"of one row each, which cannot be learnt and judged: {', '.join(single[:6])}: name them in `drop`"
        if self.slices:
            yield f"quality is shown apart by: {', '.join(self.slices)}"
        if self.empty:
            lines = ", ".join(map(str, self.empty[:6])) + (" ..." if len(self.empty) > 6 else "")
            yield f"left out, for want of a text or a label: lines {lines} of the file"


def guess(path: Path, text: str = "", label: str = "") -> Guess:
    """Returns what a table is about.

    Args:
        path: of the table: .csv, .tsv or .jsonl.
        text: its column of texts, where that is known.
        label: its column of labels, where that is known.

    Raises:
        InvalidArgument: it cannot be read, or nothing in it looks like a text or a label.
    """
    try:
        records = list(read(path.parent, Source(file=path.name)))
    except (UnreadableError, OSError) as exc:
        raise InvalidArgument("table", str(exc)) from exc
    if not records:
        raise InvalidArgument("table", f"{path.name} has no rows")
    cells = {name: [_cell(one, name) for one in records] for name in records[0].columns if name != ROW}
    for option, column in (("text", text), ("label", label)):
        if column and column not in cells:
            raise InvalidArgument(option, f"{path.name} has no column {column!r}: it has {', '.join(cells)}")
    text = text or _text_of(cells, path, label)
    label = label or _label_of({name: values for name, values in cells.items() if name != text}, path)
    empty = {n for n, pair in enumerate(zip(cells[text], cells[label], strict=True)) if not all(pair)}
    kept = [n for n in range(len(records)) if n not in empty]
    classes = Counter(cells[label][n] for n in kept)
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise InvalidArgument(
            "label", f"column {label!r} has {len(classes):,} different values: classes are 2 to {MOST_CLASSES}"
        )
    texts = [cells[text][n] for n in kept]
    lengths = sorted(map(_tokens, texts))
    cut = _cut_of(lengths)
    others = {name: values for name, values in cells.items() if name not in (text, label)}
    slices = tuple(name for name in others if name.lower() in _LANGUAGES)
    kinds = {name: _kind_of(values) for name, values in others.items() if name not in slices}
    return Guess(
        text=text,
        label=label,
        classes=dict(classes.most_common()),
        language="mixed" if mean(bool(_CHINESE.search(one)) for one in texts) >= _SOME else "en",
        max_tokens=cut,
        cut=sum(one > cut for one in lengths) / len(lengths),
        rows=len(kept),
        empty=tuple(records[n].line for n in sorted(empty)),
        slices=slices,
        fields={name: kind for name, kind in kinds.items() if kind},
    )


def _cell(record: Record, name: str) -> str:
    value = record.columns.get(name)
    return "" if value is None else str(value).strip()


def _text_of(cells: Mapping[str, Sequence[str]], path: Path, label: str) -> str:
    """Returns the column that is longest to read, and says something else in each row."""
    weights = {
        name: mean(map(len, values)) * len(set(values)) / len(values) for name, values in cells.items() if name != label
    }
    heaviest = max(weights, key=lambda name: weights[name], default="")
    if not heaviest or weights[heaviest] < _LEAST_TEXT:
        raise InvalidArgument("text", f"no column of {path.name} looks like texts: name it, one of {', '.join(cells)}")
    return heaviest


def _label_of(cells: Mapping[str, Sequence[str]], path: Path) -> str:
    """Returns the column that is called like a label, or else that has the fewest values that come again and again."""
    counts = {name: len({one for one in values if one}) for name, values in cells.items()}
    likely = {
        name: count
        for name, count in counts.items()
        if 2 <= count <= min(MOST_CLASSES, len(cells[name]) // _ROWS_OF_A_CLASS) and name.lower() not in _LANGUAGES
    }
    named = [name for known in _LABELS for name in likely if name.lower() == known]
    if not likely:
        raise InvalidArgument(
            "label", f"no column of {path.name} looks like classes: name it, one of {', '.join(cells)}"
        )
    return named[0] if named else min(likely, key=lambda name: likely[name])


def _kind_of(values: Sequence[str]) -> FieldKind | None:
    """Returns the kind of business field that a column can be; None where it is neither numbers nor few names."""
    there = [one for one in values if one]
    try:
        [float(one) for one in there]
    except ValueError:
        return "category" if 2 <= len(set(there)) <= min(MOST_CLASSES, len(values) // _ROWS_OF_A_CLASS) else None
    # Whole numbers of which none comes twice number the rows.
    numbers_rows = len(set(there)) == len(values) and all(one.lstrip("-").isdigit() for one in there)
    return "number" if len(set(there)) > 1 and not numbers_rows else None


def _tokens(text: str) -> float:
    """Returns how many tokens a text has, about, with the two around it."""
    return len(_CHINESE.findall(text)) / _CHINESE_LETTERS + len(_CHINESE.sub("", text)) / _LETTERS + 2


def _cut_of(lengths: Sequence[float]) -> int:
    wanted = lengths[int(_COVERED * (len(lengths) - 1))]
    return next((cut for cut in _CUTS if cut >= wanted), _CUTS[-1])
