"""Where workers run. An executor launches one, says whether it lives, and signals it."""

from enum import StrEnum
from pathlib import Path
from typing import Protocol


class WorkerStatus(StrEnum):
    """What an executor knows of a worker."""

    UNKNOWN = "UNKNOWN"
    ALIVE = "ALIVE"
    EXITED = "EXITED"


class Executor(Protocol):
    """Runs workers. A worker is named by job and attempt, so that a controller that restarts finds it again."""

    def launch(self, job: str, attempt: int, spec_json: str) -> None:
        """Starts the worker of an attempt; it outlives the controller."""

    def probe(self, job: str, attempt: int) -> WorkerStatus:
        """Says whether the worker lives. UNKNOWN: it has left no trace yet."""

    def kill(self, job: str, attempt: int) -> None:
        """Ends a worker at once; ending one that is gone is no error."""

    def log_path(self, job: str, attempt: int) -> Path:
        """Returns where the worker's output is kept."""
