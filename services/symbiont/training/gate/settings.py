"""What the gate is asked to do with rows: the proto's fields with their ranges and defaults.

The models have the proto's own field names, so that an error's location is the path of the field that the caller sent.
What stands in a manifest is their JSON form, with every default filled in.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import OWNED_ID
from symbiont.training.gate.pii.kinds import DEFAULT_KINDS, Kind
from symbiont.training.part import Finite
from symbiont.training.spec import explain

_DATASET = rf"^datasets/{OWNED_ID}$"


def _near_or_not(threshold: float) -> float:
    if threshold and not 0.5 <= threshold <= 1:
        raise ValueError(f"{threshold:g} is neither 0 nor from 0.5 to 1")
    return threshold


_KEY = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
Threshold = Annotated[Finite, AfterValidator(_near_or_not)]
T = TypeVar("T", bound="Message")


class Message(BaseModel):
    """A message of the proto."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UnicodeForm(StrEnum):
    """Which of the forms of Unicode a text is brought into (UAX 15)."""

    NFC = "NFC"
    NFKC = "NFKC"
    NONE = "NONE"


class Clean(Message):
    """Makes texts uniform; rows that are left without text, or are in another language, go."""

    unicode_form: UnicodeForm = UnicodeForm.NFC
    fold_width: bool = True
    strip_html: bool = True
    strip_control: bool = True
    collapse_whitespace: bool = True
    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2}$|^und$")], ...] = ()
    min_characters: int = Field(1, ge=1, le=1_000_000)


class Deduplicate(Message):
    """Keeps the first of equal and of nearly equal rows.

    `near_threshold` is the Jaccard similarity from which two texts are near; 0 compares whole texts only. Rows near
    to one of the dataset `against` go, too.
    """

    near_threshold: Threshold = 0.8
    against: str | None = Field(None, pattern=_DATASET)


class Pseudonyms(Message):
    """Equal values get equal names, which nobody can take back without the key, and with it only by guessing."""

    key: str = Field(pattern=_KEY)


class Tokens(Message):
    """Values become tokens that whoever has the key can turn back."""

    key: str = Field(pattern=_KEY)


class Mask(Message):
    """Values become the name of their kind."""


MODES = {"pseudonyms", "tokens", "mask"}


class Anonymize(Message):
    """Replaces what tells of a person. One of the three modes is set; `mask` where none is."""

    kinds: tuple[Kind, ...] = DEFAULT_KINDS
    pseudonyms: Pseudonyms | None = None
    tokens: Tokens | None = None
    mask: Mask | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        return {**values, "mask": {}} if isinstance(values, dict) and not MODES & values.keys() else values

    @property
    def key(self) -> str:
        """Name of the key; empty where none is needed."""
        keyed = self.pseudonyms or self.tokens
        return keyed.key if keyed else ""


class DropSuspects(Message):
    """Takes out the rows whose label is most likely wrong, of those that confident learning doubts."""

    max_fraction: Finite = Field(0.05, gt=0, le=0.5)
    seed: int = Field(0, ge=0, le=2**32 - 1)


class Sampling(StrEnum):
    """How classes are brought to more even sizes."""

    DOWN = "DOWN"
    OVER = "OVER"


class Balance(Message):
    """Evens out classes, until the largest has at most `max_ratio` times the rows of the smallest."""

    sampling: Sampling = Sampling.DOWN
    max_ratio: Finite = Field(1.0, ge=1)
    seed: int = Field(0, ge=0, le=2**32 - 1)


class Transform(Message):
    """One step; exactly one is set."""

    clean: Clean | None = None
    deduplicate: Deduplicate | None = None
    anonymize: Anonymize | None = None
    drop_suspects: DropSuspects | None = None
    balance: Balance | None = None

    @model_validator(mode="after")
    def _one_is_set(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"set one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def kind(self) -> str:
        """The name of what is set."""
        (name,) = self.model_fields_set
        return name

    @property
    def settings(self) -> Message:
        """What is set."""
        settings: Message = getattr(self, self.kind)
        return settings


class Prepare(Message):
    """What PrepareDataset does, in order."""

    transforms: tuple[Transform, ...] = Field(min_length=1, max_length=16)


class Split(Message):
    """How rows become two datasets.

    `by_time`: the latest rows are the test set. `group_field` is a business field whose rows belong together, beside
    the groups that the rows have themselves. With `near_threshold` rows that are near to each other stay together, too.
    """

    test_fraction: Finite = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0, le=2**32 - 1)
    by_time: bool = False
    group_field: str = ""
    near_threshold: Threshold = 0.0


class Validate(Message):
    """What a report is to look at; `against` is another dataset, for what both have and for labels that moved."""

    against: str | None = Field(None, pattern=_DATASET)
    near_threshold: Finite = Field(0.8, ge=0.5, le=1)
    short_characters: int = Field(3, ge=0, le=10_000)
    long_characters: int = Field(2_000, ge=1, le=1_000_000)
    seed: int = Field(0, ge=0, le=2**32 - 1)


class Strategy(StrEnum):
    """Which rows are worth a look."""

    MIXED = "MIXED"
    UNCERTAIN = "UNCERTAIN"
    SUSPECT = "SUSPECT"
    DIVERSE = "DIVERSE"


class Suggest(Message):
    """Which rows to suggest; `learn_from` is a dataset with labels, for rows that have none."""

    count: int = Field(100, ge=1, le=10_000)
    strategy: Strategy = Strategy.MIXED
    learn_from: str | None = Field(None, pattern=_DATASET)
    seed: int = Field(0, ge=0, le=2**32 - 1)


def parse(cls: type[T], values: Mapping[str, Any], field: str = "") -> T:
    """Checks settings given as the JSON form of their proto.

    Raises:
        InvalidArgument: names the first field at fault by its path under `field`, and lists the others.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as exc:
        problems = [(_path(field, e["loc"]), explain(e)) for e in exc.errors()]
        (first, text), rest = problems[0], problems[1:]
        more = "".join(f"; {path}: {message}" for path, message in rest)
        raise InvalidArgument(first, text + more) from exc


def _path(field: str, location: tuple[int | str, ...]) -> str:
    path = field
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
