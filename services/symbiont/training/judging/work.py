"""What a process that judges is asked to do, and what it says."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Contender(BaseModel):
    """A version: its bundle, and what its job worked on."""

    model_config = ConfigDict(frozen=True)

    name: str
    bundle_digest: str
    base_digest: str
    tokenizer_digest: str
    spec: dict[str, Any]
    inputs: dict[str, Any]


class Order(BaseModel):
    """One judgement.

    Attributes:
        artifact_root: of the artifact store.
        tenant: whose is what is made.
        tokenization_address: `host:port`.
        candidate: that is to take over.
        incumbent: that serves; None for none.
        dataset_digest: of the rows to judge by; empty for those that were held out when the candidate was trained.
        rules: as of `symbiont.evaluation.Gate`.
    """

    model_config = ConfigDict(frozen=True)

    artifact_root: str
    tenant: str = ""
    tokenization_address: str
    candidate: Contender
    incumbent: Contender | None = None
    dataset_digest: str = ""
    rules: tuple[dict[str, Any], ...] = ()


class Judged(BaseModel):
    """What was found; `seen` is how many rows the incumbent had learnt from."""

    model_config = ConfigDict(frozen=True)

    evaluation_digest: str
    row_count: int
    seen: int
    passed: bool
    # (rule, kept, what was found in English, in Chinese)
    findings: tuple[tuple[str, bool, str, str], ...]
