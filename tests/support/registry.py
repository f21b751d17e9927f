"""Shortcuts to what a registry holds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.training.data.datasets import Upload
from symbiont.training.data.header import Header
from symbiont.training.spec import TrainingSpec, parse_spec
from symbiont.training.types import Dataset

MOST_BYTES = 1 << 26


def upload(
    artifacts: ArtifactStore, content: bytes, identifier: str = "rows", format: str = "CSV", **header: Any
) -> Dataset:
    """Checks and stores a file as CreateDataset does."""
    columns = {"text_column": "", "label_column": "", **header}
    pending = Upload(Header(identifier, format, **columns), MOST_BYTES)
    try:
        pending.write(content)
        pending.check()
        return pending.store(artifacts)
    finally:
        pending.close()


def tiny_spec(**changes: object) -> TrainingSpec:
    """A spec over the registry's resources."""
    values = {"base_model": "bases/tiny", "dataset": "datasets/rows", "model": "models/mood", **changes}
    return parse_spec(values, "training_job.spec")


def upload_rows(artifacts: ArtifactStore, rows: Sequence[Mapping[str, Any]], identifier: str, **header: Any) -> Dataset:
    """Stores rows as a file of JSON lines would be."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return upload(artifacts, "\n".join(lines).encode(), identifier, "JSONL", **header)
