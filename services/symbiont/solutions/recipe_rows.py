"""The sections of a recipe that say where rows come from, and what is done to them before they are learnt."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Share = Annotated[float, Field(ge=0, le=1)]
FieldKind = Literal["number", "flag", "category", "date"]
LabelKind = Literal["class", "classes", "number", "answers", "entities", "none"]


def _named(value: Any) -> Any:
    """Numbers as names, as files have them: 1 for "1"."""
    if isinstance(value, bool):
        raise ValueError('yes, no, on, off, true and false without quotes are no names: write "yes"')
    return str(value) if isinstance(value, int) else value


Name = Annotated[str, BeforeValidator(_named)]


class Section(BaseModel):
    """Unknown keys are refused: a key that is spelt wrong would be ignored in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Section):
    """A raw file. Beside its own columns, every row has one called `row`, its number in the file."""

    file: str
    """Path below the folder of the data."""
    layout: Literal["table", "squad"] = "table"
    """`table`: CSV, TSV or JSONL, a row each; `squad`: SQuAD's JSON of questions with answers in paragraphs."""
    where: dict[str, tuple[Name, ...]] = {}
    """Take only rows whose column has one of these values."""
    without: tuple[int, ...] = ()
    """Rows to leave out, by the numbers that messages give them: what is wrong in a file that you cannot mend."""
    set: dict[str, str] = {}
    """Columns that every row of this file has besides, as its language."""


class Label(Section):
    """Where the right answer stands."""

    column: str = "label"
    """Its column, or a template with columns in braces."""
    kind: LabelKind = "class"
    """A name, several (`a|b`), a number, parts of the second text, named parts of the text, or none."""
    words: str = ""
    """Of `entities` as tags (`O B-place I-place`): column of the words, divided by spaces, that they are of."""
    map: dict[Name, Name] = {}
    """Names in the files to names of the model; with a map, every name needs a line."""
    drop: tuple[Name, ...] = ()
    """Names whose rows are left out."""

    @model_validator(mode="after")
    def _words_of_tags(self) -> Self:
        if self.words and self.kind != "entities":
            raise ValueError("`words` goes with `kind: entities`: the words that tags are of")
        return self


class Split(Section):
    """How rows are held out where no file of test rows is given."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the rows to judge by."""
    by: Literal["row", "group", "time"] = "row"
    """`row`: each class has its share; `group`: whole groups; `time`: the latest rows."""
    seed: int = 0
    """Chooses rows; the same one gives the same rows."""


class Data(Section):
    """From raw files to rows. A column is named, or a template has columns in braces: `{title}: {genres}`."""

    train: tuple[Source, ...] = Field(min_length=1)
    """Files to learn from."""
    test: tuple[Source, ...] = ()
    """Files to judge by; without any, rows of the first are held out as `split` says."""
    split: Split | None = None
    """How rows are held out; not with `test`."""
    text: str = "text"
    """The text."""
    pair: str = ""
    """A second text: the other one of a pair, or the context of a question."""
    label: Label = Label()
    """The right answer."""
    fields: dict[str, FieldKind] = {}
    """Business fields beside the text."""
    slices: tuple[str, ...] = ()
    """Columns by whose values quality is shown apart, as those of fairness; the model does not get them."""
    group: str = ""
    """Column of what belongs on one side of a split."""
    time: str = ""
    """Column of the time of a row, ISO 8601."""
    subject: str = ""
    """Column that says whose data a row is."""

    @model_validator(mode="after")
    def _one_way_to_judge(self) -> Self:
        if self.test and self.split:
            raise ValueError("`test` and `split` exclude each other: keep one of the two")
        by = self.split.by if self.split else "row"
        if (by == "group" and not self.group) or (by == "time" and not self.time):
            raise ValueError(f"a split by {by} needs the column: add `{by}: COLUMN` to `data`")
        return self


class DataGate(Section):
    """What is done to the rows to learn from before they are learnt; see `symbiont datasets prepare`."""

    clean: bool = True
    """Clean texts: Unicode, HTML, controls, space."""
    deduplicate: Share | None = 0.9
    """Similarity from which rows are near, within the rows and to those to judge by; null keeps all."""
    anonymize: tuple[str, ...] = ()
    """Kinds of personal data to mask, as email and phone."""
    drop_suspects: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest share of rows to drop whose label is likely wrong."""
    balance: Literal["none", "down", "over"] = "none"
    """How classes are evened out."""


class Recommendation(Section):
    """Histories of users to pairs of texts: what somebody liked before, and what was liked next."""

    ratings: Source
    """The file of the ratings."""
    items: Source
    """The file of the items."""
    user: str
    item: str
    rating: str
    time: str
    text: str
    """Template of an item's text, of the columns of its file."""
    liked: float = 4.0
    """Rating from which somebody liked it."""
    history: Annotated[int, Field(ge=1)] = 5
    """How many liked items make a query, the latest first."""
    latest: Annotated[int, Field(ge=1)] | None = None
    """So many of each user's latest liked items are learnt; default: all, which is a row each."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the ratings to judge by, the latest."""
    cut: Literal["time", "user"] = "time"
    """`time`: the latest ratings of all; `user`: the latest of each user, where few users stay for long."""
    popularity: Annotated[float, Field(ge=0)] = 0.0
    """Weight of an item's popularity, as the logarithm of its count, beside the cosine of the texts."""
