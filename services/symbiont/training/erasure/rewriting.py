"""A stored dataset without the rows of a subject; what it was made of, and how, is told of it as before."""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.training.data.datasets import names_of
from symbiont.training.data.rows import KIND, ROWS, Row, read_rows, row_to_line
from symbiont.training.erasure.types import Rows
from symbiont.training.gate.labels import label_range
from symbiont.training.gate.lineage import VERSION, Parent, Recorded, lineage
from symbiont.training.types import Dataset


@dataclass(frozen=True)
class Rewritten:
    """What stands in the place of a stored dataset; the digest is empty where no row is left."""

    digest: str
    row_count: int
    byte_count: int
    label_counts: tuple[tuple[str, int], ...]
    label_range: tuple[float, float]

    def of(self, dataset: Dataset) -> Dataset:
        """Returns a registered dataset with these rows."""
        return replace(dataset, **vars(self))


def rewrite(
    artifacts: ArtifactStore, found: Rows, subject_digest: str, before: Mapping[str, tuple[Rows, str]]
) -> Rewritten:
    """Stores a dataset without some of its rows; the old one stays for now.

    The rows that stay are in their order, on the side of a split where they were: transforms are not done again. Their
    origins are numbers of what their own dataset was made of as that is now.

    Args:
        found: which rows go.
        before: of datasets that were rewritten already, by their old digest, which rows went and the new digest.
    """
    gone = set(found.numbers)
    rows = [row for number, row in enumerate(read_rows(artifacts, found.digest)) if number not in gone]
    if not rows:
        return Rewritten("", 0, 0, (), (0.0, 0.0))
    told, manifest = lineage(artifacts, found.digest), artifacts.manifest(KIND, found.digest)
    source = before.get(told.parents[0].digest) if told.parents else None
    steps = told.steps
    if source:
        numbers = source[0].numbers
        rows = [replace(row, origin=_moved(row.origin, numbers)) for row in rows]
        steps = tuple(_renumbered(step, numbers) for step in steps)
    parents = [replace(parent, digest=_now(parent, before)) for parent in told.parents]
    erased = Recorded("erasure", {"subject_digest": subject_digest}, len(rows) + len(gone), len(rows), 0)
    digest, size = _store(artifacts, manifest, parents, rows, [*steps, erased])
    counts = Counter(name for row in rows for name in names_of(row))
    return Rewritten(digest, len(rows), size, tuple(sorted(counts.items())), label_range(rows))


def _store(
    artifacts: ArtifactStore,
    manifest: Mapping[str, Any],
    parents: Sequence[Parent],
    rows: Sequence[Row],
    steps: Sequence[Recorded],
) -> tuple[str, int]:
    fields = {name: value for name, value in manifest.items() if name != "files"}
    fields |= {
        "rows": len(rows),
        "parents": [asdict(parent) for parent in parents],
        "transforms": [asdict(step) for step in steps],
        "gate": manifest.get("gate", VERSION),
    }
    with artifacts.spool(KIND) as spool:
        for row in rows:
            spool.write(row_to_line(row))
        return artifacts.put(KIND, {ROWS: spool}, json.loads(json.dumps(fields))), spool.size


def _now(parent: Parent, before: Mapping[str, tuple[Rows, str]]) -> str:
    """Returns the digest of a parent as it is now; of one whose rows are all gone the old one stands, as of any that is
    not there any more."""
    return (parent.digest in before and before[parent.digest][1]) or parent.digest


def _moved(number: int, gone: Sequence[int]) -> int:
    return number if number < 0 else number - bisect_left(gone, number)


def _renumbered(step: Recorded, gone: Sequence[int]) -> Recorded:
    """Returns a step whose findings name the rows that are left, by their new numbers."""
    left = [
        replace(finding, rows=tuple(_moved(row, gone) for row in finding.rows if row not in gone))
        for finding in step.findings
    ]
    return replace(step, findings=tuple(left))
