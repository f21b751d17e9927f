"""A dataset that was made of others: its rows, and in its manifest what it was made of and how.

The manifest has no time and no name of its own, so that the same input and settings give the same digest.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.training.data.rows import KIND, ROWS, LabelKind, Row, row_to_line
from symbiont.training.gate.findings import Finding
from symbiont.training.gate.settings import Transform

# Grows whenever the same settings would make other rows of the same ones.
VERSION = 2


@dataclass(frozen=True)
class Parent:
    """A dataset that another was made of; `role` is SOURCE, AGAINST or LABELS."""

    digest: str
    role: str = "SOURCE"


@dataclass(frozen=True)
class Recorded:
    """A step that was done, as the manifest has it.

    Attributes:
        kind: `clean` and the other transforms, `split`, or `label_import`.
        settings: the JSON form of its settings, with every default filled in.
        rows_before: rows before it.
        rows_after: rows after it.
        changed: rows that stayed and are different.
        findings: what it found.
        key_id: tells by which key, where one was used.
    """

    kind: str
    settings: dict[str, Any]
    rows_before: int
    rows_after: int
    changed: int
    findings: tuple[Finding, ...] = ()
    key_id: str = ""


@dataclass(frozen=True)
class Lineage:
    """Where a dataset comes from; nothing in it where it was uploaded."""

    parents: tuple[Parent, ...] = ()
    steps: tuple[Recorded, ...] = ()
    version: int = 0


def store(
    artifacts: ArtifactStore, parents: Sequence[Parent], rows: Sequence[Row], kind: LabelKind, steps: Sequence[Recorded]
) -> str:
    """Stores rows that were made of the first parent; returns the digest.

    What the parent's manifest says of its rows, other than their number and labels, is true of these, too.
    """
    manifest = artifacts.manifest(KIND, parents[0].digest)
    own = ("files", "label_kind", "parents", "transforms", "gate")
    fields = {name: value for name, value in manifest.items() if name not in own}
    if kind is not LabelKind.CLASS:
        fields["label_kind"] = kind
    fields |= {
        "rows": len(rows),
        "parents": [asdict(parent) for parent in parents],
        "transforms": [asdict(step) for step in steps],
        "gate": VERSION,
    }
    with artifacts.spool(KIND) as spool:
        for row in rows:
            spool.write(row_to_line(row))
        return artifacts.put(KIND, {ROWS: spool}, json.loads(json.dumps(fields)))


def lineage(artifacts: ArtifactStore, digest: str) -> Lineage:
    """Returns where a stored dataset comes from."""
    manifest = artifacts.manifest(KIND, digest)
    return Lineage(
        tuple(Parent(**parent) for parent in manifest.get("parents", ())),
        tuple(_step(step) for step in manifest.get("transforms", ())),
        manifest.get("gate", 0),
    )


def transform_of(step: Recorded) -> Transform | None:
    """Returns the transform of a step; None where it is another kind of step."""
    return Transform.model_validate({step.kind: step.settings}) if step.kind in Transform.model_fields else None


def _step(values: dict[str, Any]) -> Recorded:
    findings = tuple(Finding(**{**found, "rows": tuple(found["rows"])}) for found in values["findings"])
    return Recorded(**{**values, "findings": findings})
