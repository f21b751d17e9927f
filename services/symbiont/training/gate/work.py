"""What a process of the gate is asked to do, and what it says while it does."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from symbiont.training.data.rows import LabelKind
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


Tell = Callable[[Progress], None]
