"""A training service for studies, in this process: it knows jobs and specs, and trains nothing."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.api.training.v1.dataset_pb2 import Dataset


class StudiedService:
    """What a study asks a client; a test says how jobs are made, and what becomes of them."""

    def __init__(self) -> None:
        self.jobs: dict[str, pb.TrainingJob] = {}

    def get_dataset(self, name: str) -> Dataset:
        """Has each dataset, of a hundred rows."""
        return Dataset(name=name, row_count=100)

    def check_training_job(self, spec: pb.TrainingSpec, **_: Any) -> Any:
        """Takes every spec, and judges it by accuracy."""
        resolved = pb.TrainingSpec()
        resolved.CopyFrom(spec)
        resolved.hyperparameters.selection_metric = "accuracy"
        return SimpleNamespace(spec=resolved)

    def list_training_jobs(self, **_: Any) -> list[pb.TrainingJob]:
        """Lists the jobs in the order in which they were made."""
        return list(self.jobs.values())

    def get_training_job(self, name: str) -> pb.TrainingJob:
        """Returns a job as it is."""
        return self.jobs[name]

    def watch_training_job(self, name: str) -> Iterator[pb.TrainingEvent]:
        """Says that nothing happened."""
        return iter(())


class Listener:
    """Notes what a study says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, title: str, job: pb.TrainingJob) -> None:
        """Shows nothing."""

    event = begin

    def say(self, text: str) -> None:
        """Notes it."""
        self.said.append(text)
