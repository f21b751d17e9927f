"""Stores rows that were made of others, and says what the registry is to know of them."""

from collections.abc import Sequence
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition
from symbiont.training.data.rows import KIND, ROWS, LabelKind, Row
from symbiont.training.gate.labels import label_counts, label_range
from symbiont.training.gate.lineage import Parent, Recorded, store
from symbiont.training.gate.work import Made, Order


def parents_of(order: Order) -> list[Parent]:
    """Returns what is made of an order's datasets has as parents."""
    return [Parent(order.source), *(Parent(digest, "AGAINST") for _, digest in sorted(order.others.items()))]


def stored(
    artifacts: ArtifactStore, parents: Sequence[Parent], rows: Sequence[Row], kind: LabelKind, steps: Sequence[Recorded]
) -> Made:
    """Stores rows; raises FailedPrecondition where there are none."""
    if not rows:
        raise FailedPrecondition("nothing is left of the rows", reason="NO_ROWS_LEFT")
    digest = store(artifacts, parents, rows, kind, steps)
    size: Any = artifacts.manifest(KIND, digest)["files"][ROWS]["size"]
    return Made(
        digest=digest,
        row_count=len(rows),
        byte_count=size,
        label_counts=label_counts(rows),
        label_kind=kind,
        label_range=label_range(rows),
    )
