"""Policies and decisions as plain values."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from symbiont.training.types import now


class DecisionKind(StrEnum):
    """What was decided; the names are those of the proto without their prefix."""

    POLICY_SET = "POLICY_SET"
    JUDGED = "JUDGED"
    APPROVED = "APPROVED"
    PROMOTED = "PROMOTED"
    REFUSED = "REFUSED"
    ROLLED_BACK = "ROLLED_BACK"


class JudgementStage(StrEnum):
    """What a judgement is at; the names are those of the proto without their prefix."""

    WAITING = "WAITING"
    READING = "READING"
    CANDIDATE = "CANDIDATE"
    INCUMBENT = "INCUMBENT"
    COMPARING = "COMPARING"


@dataclass(frozen=True)
class Policy:
    """The gate of an alias: `rules` are the JSON form of those of `symbiont.evaluation.Gate`.

    `approvals` is how many people beside the one who promotes must approve, `evaluation_dataset` the id of a dataset,
    empty for the rows that were held out. A `revision` of 0 is an alias without a gate.
    """

    rules: tuple[dict[str, Any], ...] = ()
    approvals: int = 0
    evaluation_dataset: str = ""
    revision: int = 0
    principal: str = ""
    update_time: datetime = field(default_factory=now)

    @property
    def open(self) -> bool:
        """Whether every version may pass."""
        return not self.rules and not self.approvals


@dataclass(frozen=True)
class Finding:
    """What a rule found, in English and Chinese; `rule` is empty where it is none."""

    rule: str
    passed: bool
    text: str
    text_zh: str = ""


@dataclass(frozen=True)
class Decision:
    """Something that was decided on an alias; versions by their numbers, 0 for none. `number` 0 is not stored yet."""

    model: str
    alias: str
    kind: DecisionKind
    version: int = 0
    incumbent: int = 0
    principal: str = ""
    policy_revision: int = 0
    passed: bool = False
    findings: tuple[Finding, ...] = ()
    evaluation_digest: str = ""
    row_count: int = 0
    seen_by_incumbent: int = 0
    comment: str = ""
    number: int = 0
    time: datetime = field(default_factory=now)

    @property
    def name(self) -> str:
        """`models/{model}/aliases/{alias}/decisions/{number}`."""
        return f"models/{self.model}/aliases/{self.alias}/decisions/{self.number}"
