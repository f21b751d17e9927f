"""What is found of a subject, and what became of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from symbiont.training.types import BaseModel, ModelVersion


@dataclass(frozen=True)
class Rows:
    """Rows of a subject in a stored dataset: `digest` as it was, `names` are the ids that it has."""

    digest: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Learnt:
    """A version that learnt rows of a subject; `own_base` is the digest of the base that was made with it."""

    version: ModelVersion
    aliases: tuple[str, ...]
    own_base: str


@dataclass(frozen=True)
class Touched:
    """All that was made of rows of a subject.

    Attributes:
        rows: by dataset, those that others were made of first.
        jobs: that learnt them or were judged by them.
        checkpoints: (job, digest) of jobs that learnt them.
        versions: that learnt them, or live on a base that did.
        bases: that were adapted on them.
    """

    rows: tuple[Rows, ...] = ()
    jobs: tuple[str, ...] = ()
    checkpoints: tuple[tuple[str, str], ...] = ()
    versions: tuple[Learnt, ...] = ()
    bases: tuple[BaseModel, ...] = ()


@dataclass(frozen=True)
class Forgotten:
    """What a call has found and done; fields as in the proto."""

    subject_digest: str
    touched: Touched = Touched()
    new_digests: Mapping[str, str] = field(default_factory=dict)
    retraining: tuple[str, ...] = ()
    not_retrained: tuple[tuple[str, str], ...] = ()


def digest_of(subject: str) -> str:
    """Returns what a record knows a subject by: it does not say who that is, but who asks again can be recognised."""
    return hashlib.sha256(f"symbiont/erasure\0{subject}".encode()).hexdigest()
