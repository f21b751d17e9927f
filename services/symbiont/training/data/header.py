"""What an upload says about itself."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import check_owned_id
from symbiont.training.data.readers import READERS, Columns
from symbiont.training.data.rows import LabelKind

FIELD_KINDS = ("NUMBER", "FLAG", "CATEGORY", "DATE")
MAX_FIELDS = 64
MAX_NAME = 63


@dataclass(frozen=True)
class Header:
    """What an upload says about itself. `fields` are (column, kind); a column that is not there is empty."""

    id: str
    format: str
    text_column: str
    label_column: str
    # Of the whole file, by which one that was cut short is told; 0 where the caller does not say.
    byte_count: int = 0
    label_kind: str = "CLASS"
    pair_column: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    group_column: str = ""
    time_column: str = ""
    subject_column: str = ""

    def checked(self) -> "Header":
        """Returns the header with its defaults filled in, or raises InvalidArgument."""
        check_owned_id("header.dataset_id", self.id)
        if self.format not in READERS:
            raise InvalidArgument("header.dataset.format", f"it must be one of {', '.join(READERS)}")
        if self.label_kind not in list(LabelKind):
            raise InvalidArgument("header.dataset.label_kind", f"it must be one of {', '.join(LabelKind)}")
        label = "" if self.label_kind == LabelKind.NONE else self.label_column or "label"
        filled = replace(self, text_column=self.text_column or "text", label_column=label)
        filled._check_fields()
        filled._check_columns()
        if self.byte_count < 0:
            raise InvalidArgument("header.byte_count", f"{self.byte_count} is negative")
        return filled

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        return tuple(self._columns())

    def _columns(self) -> Iterator[tuple[str, str]]:
        for name in ("text_column", "label_column", "pair_column", "group_column", "time_column", "subject_column"):
            if column := getattr(self, name):
                yield name, column
        for index, (column, _) in enumerate(self.fields):
            yield f"fields[{index}].name", column

    def _check_fields(self) -> None:
        if len(self.fields) > MAX_FIELDS:
            problem = f"{len(self.fields)} are more than the {MAX_FIELDS} that a dataset may have"
            raise InvalidArgument("header.dataset.fields", problem)
        for index, (name, kind) in enumerate(self.fields):
            field = f"header.dataset.fields[{index}]"
            if not 1 <= len(name) <= MAX_NAME:
                raise InvalidArgument(f"{field}.name", f"it must have 1 to {MAX_NAME} characters")
            if kind not in FIELD_KINDS:
                raise InvalidArgument(f"{field}.kind", f"it must be one of {', '.join(FIELD_KINDS)}")

    def _check_columns(self) -> None:
        if self.label_kind == LabelKind.ANSWERS and not self.pair_column:
            problem = "answers are parts of a context: name its column"
            raise InvalidArgument("header.dataset.pair_column", problem)
        taken: dict[str, str] = {}
        for field, column in self._columns():
            # Whom a row is about, when it is from and what it belongs to may be fields that are learnt from, too.
            if field in ("group_column", "time_column", "subject_column"):
                continue
            if column in taken:
                what = taken[column].replace("_", " ")
                raise InvalidArgument(f"header.dataset.{field}", f"{column!r} is the {what} too")
            taken[column] = field
