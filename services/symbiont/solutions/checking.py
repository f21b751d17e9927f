"""Everything that can be wrong with a recipe and its files, found before anything starts."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from symbiont.solutions.loading import Located, RecipeError
from symbiont.solutions.reading import ROW, Record, UnreadableError, columns_of, fill, read
from symbiont.solutions.recipe_rows import Data, Source, Split
from symbiont.solutions.rows import SolutionRow, label_of, rows_of, value_of
from symbiont.solutions.splitting import SplitError, split

# Of one kind of problem so many are said: the rest are most often the same.
MOST_PROBLEMS = 5
MOST_LABELS = 20
# In a quick look.
_ROWS_OF_A_CLASS = 4
# Characters of an answer that are said.
_ANSWER = 40


@dataclass(frozen=True)
class Sides:
    """Rows to learn from and rows to judge by."""

    train: tuple[SolutionRow, ...]
    test: tuple[SolutionRow, ...]


def read_sides(located: Located, folder: Path, most: int | None = None) -> Sides:
    """Reads, checks and divides the rows of a recipe with `data`.

    Args:
        folder: of the raw files.
        most: so many rows of each side, chosen by their text, for a quick look.

    Raises:
        RecipeError: a file is missing or is none, a column, a label or a number is wrong, or rows cannot be divided so.
    """
    data = located.recipe.data
    if data is None:
        raise RecipeError([f"{located.path}: it has no section `data`"])
    train, test = _records(located, folder, data, "train"), _records(located, folder, data, "test")
    problems = [*_wrong(located, data, [*train, *test])]
    if problems:
        raise RecipeError(problems)
    learnt, judged = tuple(rows_of(data, train)), tuple(rows_of(data, test))
    if not data.test:
        try:
            one, other = split(learnt, data.split or Split())
        except SplitError as exc:
            raise RecipeError([f"{located.at('data', 'split')}: {exc}"]) from exc
        learnt, judged = tuple(one), tuple(other)
    if problems := [*_unlearnt(located, learnt, judged), *_uncounted(located, learnt)]:
        raise RecipeError(problems)
    reject = located.recipe.serving.reject
    return Sides(learnt, judged) if most is None else _some(learnt, judged, most, reject.label if reject else "")


def _records(located: Located, folder: Path, data: Data, side: str) -> list[Record]:
    sources: Sequence[Source] = getattr(data, side)
    found: list[Record] = []
    for number, source in enumerate(sources):
        place = ("data", side, number, "file")
        if not (folder / source.file).is_file():
            said = f"{folder} is a file" if folder.is_file() else f"{folder / source.file} does not exist"
            raise RecipeError([f"{located.at(*place)}: {said}: name its folder with --data"])
        try:
            records = list(read(folder, source))
        except UnreadableError as exc:
            raise RecipeError([f"{located.at(*place)}: {exc}"]) from exc
        if not records:
            raise RecipeError([f"{located.at(*place)}: no row is left: look at `where`"])
        if problems := [*_missing(located, data, records)]:
            raise RecipeError(problems)
        found += records
    return found


def _missing(located: Located, data: Data, records: Sequence[Record]) -> Iterator[str]:
    """Yields what the recipe names and a file does not have, or single rows of it: those of JSONL need not be alike."""
    for place, column in _columns(data):
        lacking = [one for one in records if column not in one.columns]
        if len(lacking) == len(records):
            there = ", ".join(str(name) for name in records[0].columns if name != ROW)
            yield f"{located.at(*place)}: {records[0].file} has no column {column!r}: it has {there}"
            continue
        for one in lacking[:MOST_PROBLEMS]:
            yield f"{located.at(*place)}: {one.place}: it has no {column!r}: add it, or name the row in `without`"


def _columns(data: Data) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yields each column that rows must have, with the place in the recipe that names it."""
    named: list[tuple[tuple[str | int, ...], str]] = [(("data", "text"), data.text), (("data", "pair"), data.pair)]
    named += [(("data", name), getattr(data, name)) for name in ("group", "time", "subject")]
    named += [(("data", "fields", name), name) for name in data.fields]
    named += [(("data", "slices", place), name) for place, name in enumerate(data.slices)]
    if data.label.kind != "none":
        named.append((("data", "label", "column"), data.label.column))
        named.append((("data", "label", "words"), data.label.words))
    for place, template in named:
        for column in columns_of(template) if template else ():
            yield place, column


def _wrong(located: Located, data: Data, records: Sequence[Record]) -> Iterator[str]:
    """Yields labels that are not in the map and cells that are no numbers, the first few of them."""
    said = 0
    unknown: set[str] = set()
    for record in records:
        for problem in (
            *_empty(located, data, record),
            *_misplaced(located, data, record),
            *_wrong_label(located, data, record, unknown),
            *_wrong_cells(located, data, record),
        ):
            yield problem
            said += 1
            if said == MOST_PROBLEMS:
                return


def _empty(located: Located, data: Data, record: Record) -> Iterator[str]:
    for name in ("text", "pair"):
        template = getattr(data, name)
        if template and not str(fill(template, record.columns) or "").strip():
            yield f"{located.at('data', name)}: {record.place}: it is empty: mend it, or name the row in `without`"


def _misplaced(located: Located, data: Data, record: Record) -> Iterator[str]:
    if data.label.kind != "answers":
        return
    place, answers = f"{located.at('data', 'label')}: {record.place}", record.columns[data.label.column]
    if not isinstance(answers, list) or not all(isinstance(a, dict) and {"start", "text"} <= a.keys() for a in answers):
        yield f"{place}: answers are a list of objects with `start` and `text`, as JSONL and SQuAD's JSON have it"
        return
    context = str(fill(data.pair, record.columns))
    for answer in answers:
        if not context.startswith(answer["text"], answer["start"]):
            said = f"its answer {answer['text'][:_ANSWER]!r} does not stand at {answer['start']} of its {data.pair}"
            yield f"{place}: {said}: mend it, or name the row in `without`"


def _wrong_label(located: Located, data: Data, record: Record, unknown: set[str]) -> Iterator[str]:
    try:
        label_of(data, record.columns)
    except KeyError as exc:
        name = str(exc.args[0])
        if name not in unknown:
            unknown.add(name)
            yield (
                f"{located.at('data', 'label', 'map')}: the label {name!r} ({record.place}) is not in the map: "
                "add a line for it, or name it in `drop`"
            )
    except ValueError as exc:
        where = located.at("data", "label")
        said = "the label is no number" if data.label.kind == "number" else str(exc)
        yield f"{where}: {record.place}: {said}: mend the file, or say another kind"


def _wrong_cells(located: Located, data: Data, record: Record) -> Iterator[str]:
    for name, kind in data.fields.items():
        if (raw := record.columns[name]) not in ("", None):
            try:
                value_of(kind, raw)
            except ValueError:
                yield f"{located.at('data', 'fields', name)}: {record.place}: {raw!r} is no {kind}: say category"


def _unlearnt(located: Located, train: Sequence[SolutionRow], test: Sequence[SolutionRow]) -> Iterator[str]:
    """Yields classes that are asked for and were never learnt; what is rejected need not be."""
    reject = located.recipe.serving.reject
    learnt = {row.label for row in train if isinstance(row.label, str)} | ({reject.label} if reject else set())
    asked = {row.label for row in test if isinstance(row.label, str)}
    if located.recipe.task.head == "classification":
        for name in sorted(asked - learnt)[:MOST_PROBLEMS]:
            yield f"{located.at('data', 'test')}: {name!r} is judged and never learnt: add rows of it to `train`"


def check_keys(located: Located, judged: Sequence[SolutionRow], keys: Collection[str]) -> None:
    """Refuses rows to judge by whose right answer the catalogue does not have; what is rejected need not be there.

    Raises:
        RecipeError: says the first few of them.
    """
    reject = located.recipe.serving.reject
    known = {*keys, reject.label} if reject else keys
    if lost := [row for row in judged if str(row.label) not in known]:
        where, remedy = located.at("serving", "catalogue", "key"), "add it, or name the row in `without`"
        raise RecipeError(
            [f"{where}: {row.place}: no entry has the key {row.label!r}: {remedy}" for row in lost[:MOST_PROBLEMS]]
        )


def _uncounted(located: Located, train: Sequence[SolutionRow]) -> Iterator[str]:
    """Yields a label that the chart counts and the model never says."""
    chart = located.recipe.monitoring.chart
    learnt = sorted({row.label for row in train if isinstance(row.label, str)})
    if chart and located.recipe.task.head == "classification" and chart.label not in learnt:
        said = f"{chart.label!r} is no label of the rows to learn from: say one of {', '.join(learnt[:MOST_LABELS])}"
        yield f"{located.at('monitoring', 'chart', 'label')}: {said}"


def _some(learnt: tuple[SolutionRow, ...], judged: tuple[SolutionRow, ...], most: int, rejected: str) -> Sides:
    """Returns rows evenly taken, so that files sorted by label keep their classes.

    Of more classes than have some rows each, the most frequent ones: of one row a class nothing is learnt. What is
    never learnt, or rejected, still judges.
    """
    counts = Counter(row.label for row in learnt if isinstance(row.label, str))
    if len(counts) * _ROWS_OF_A_CLASS <= max(most, 2 * _ROWS_OF_A_CLASS):
        return Sides(_evenly(learnt, most), _evenly(judged, most))
    kept = [label for label, _ in counts.most_common(max(most // _ROWS_OF_A_CLASS, 2))]
    each = max(most // len(kept), 1)
    train = [row for label in kept for row in _evenly([one for one in learnt if one.label == label], each)]
    others = [row for row in judged if row.label in (*kept, rejected) or row.label not in counts]
    return Sides(tuple(train), _evenly(others, most))


def _evenly(rows: Sequence[SolutionRow], most: int) -> tuple[SolutionRow, ...]:
    most = min(most, len(rows))
    return tuple(rows[place * len(rows) // most] for place in range(most))
