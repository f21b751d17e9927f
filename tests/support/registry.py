"""Shortcuts to what a registry holds."""

from symbiont.common.artifacts import ArtifactStore
from symbiont.training.data.datasets import Upload
from symbiont.training.data.header import Header
from symbiont.training.spec import TrainingSpec, parse_spec
from symbiont.training.types import Dataset


def upload(artifacts: ArtifactStore, content: bytes, identifier: str = "rows", format: str = "CSV") -> Dataset:
    """Checks and stores a file as CreateDataset does."""
    pending = Upload(Header(identifier, format, "", ""), 1 << 20)
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
