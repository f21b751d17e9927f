"""What a process of the gate is asked to do, and what it says while it does."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from symbiont.common.errors import FailedPrecondition, InvalidArgument
from symbiont.training.data.rows import LabelKind
from symbiont.training.gate.results import Report, Suggestion
from symbiont.training.gate.settings import Prepare, Split, Suggest, Validate


class WorkStage(StrEnum):
    """What a work is at; the names are those of the proto without their prefix."""

    WAITING = "WAITING"
    READING = "READING"
    WORKING = "WORKING"
    STORING = "STORING"


class Progress(BaseModel):
    """How far a work is; fields as in the proto."""

    model_config = ConfigDict(frozen=True)

    stage: WorkStage
    part: str = ""
    transform: int = 0
    rows_done: int = 0
    rows_total: int = 0


class Order(BaseModel):
    """One work.

    Attributes:
        artifacts: root of the artifact store.
        tenant: whose is what is made.
        source: digest of the dataset.
        kind: what its labels are.
        work: what to do; one of the four settings, which the word beside it names.
        others: digest of each other dataset that the settings name.
        keys: file of each key that they name.
        dates: names of the dataset's business fields that are dates.
    """

    model_config = ConfigDict(frozen=True)

    artifacts: str
    tenant: str = ""
    source: str
    kind: LabelKind
    word: Literal["prepare", "split", "validate", "suggest"]
    work: Prepare | Split | Validate | Suggest
    others: dict[str, str] = {}
    keys: dict[str, Path] = {}
    dates: tuple[str, ...] = ()


class Made(BaseModel):
    """A dataset that was stored: its digest, and what the registry says of its rows."""

    model_config = ConfigDict(frozen=True)

    digest: str
    row_count: int
    byte_count: int
    label_counts: tuple[tuple[str, int], ...]
    label_kind: LabelKind
    # Of numbers.
    label_range: tuple[float, float]


_RESULTS: Mapping[str, TypeAdapter[Any]] = {
    "made": TypeAdapter(list[Made]),
    "report": TypeAdapter(Report),
    "suggestions": TypeAdapter(list[Suggestion]),
}
# Errors that a process tells of by reason: the others are of the state of things.
_ARGUMENT = "INVALID_ARGUMENT"

Tell = Callable[[Progress], None]


def read(said: dict[str, Any]) -> Any:
    """Returns the progress or the result that a process said; raises the error."""
    if "error" in said:
        if said["reason"] == _ARGUMENT:
            raise InvalidArgument(said["field"], said["error"])
        raise FailedPrecondition(said["error"], reason=said["reason"], field=said["field"] or None)
    if "progress" in said:
        return Progress.model_validate(said["progress"])
    ((name, value),) = said.items()
    return _RESULTS[name].validate_python(value)
