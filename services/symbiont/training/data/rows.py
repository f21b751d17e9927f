"""The rows of a stored dataset, one JSON object a line. All that a worker needs to know of datasets."""

import json
from collections.abc import Iterator

from symbiont.common.artifacts import ArtifactStore

KIND = "datasets"
ROWS = "rows.jsonl"


def read_rows(artifacts: ArtifactStore, digest: str) -> Iterator[tuple[str, str]]:
    """Yields (text, label) of a stored dataset."""
    with (artifacts.path(KIND, digest) / ROWS).open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            yield row["text"], row["label"]
