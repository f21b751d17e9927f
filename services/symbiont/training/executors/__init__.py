"""Where workers run. An executor launches them, says whether they live, signals them, and finds them again.

An executor holds nothing that matters: a worker is named by job and attempt, and whoever knows the name finds it.
Queue, retries, fencing and state are the controller's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class WorkerStatus(StrEnum):
    """What an executor knows of a worker."""

    # No trace of it: it may come, it may never have been, or it is out of sight.
    UNKNOWN = "UNKNOWN"
    ALIVE = "ALIVE"
    EXITED = "EXITED"


class WorkerSignal(StrEnum):
    """What a worker is told from outside."""

    # Stop after a checkpoint, as a machine that shuts down asks.
    TERMINATE = "TERMINATE"
    # End at once.
    KILL = "KILL"


@dataclass(frozen=True)
class WorkerName:
    """The worker of one attempt: all its ranks."""

    job: str
    attempt: int


@dataclass(frozen=True)
class Launch:
    """What is to be started: `ranks` processes with the JSON form of WorkerSpec, which find each other by the variables
    RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT when they are several."""

    name: WorkerName
    spec_json: str
    ranks: int = 1


class Executor(Protocol):
    """Runs workers, which outlive the controller. Methods block; Unavailable tells that the place is out of reach."""

    def launch(self, launch: Launch) -> None:
        """Starts the worker of an attempt. Launching one that was launched already changes nothing."""

    def probe(self, name: WorkerName) -> WorkerStatus:
        """Says whether the worker lives; one of whose ranks one has ended counts as ended."""

    def signal(self, name: WorkerName, signal: WorkerSignal) -> None:
        """Signals every rank of a worker; one that is gone is no error."""

    def adopt(self, name: WorkerName) -> WorkerStatus:
        """Finds the worker that another controller may have launched.

        EXITED where it is certain that nothing runs under that name and nothing will; UNKNOWN where it is not.
        """

    def list(self) -> list[WorkerName]:
        """Returns every worker that lives here, wanted or not."""

    def where(self, name: WorkerName) -> str:
        """Says in words where the worker's output can be seen."""

    def read_log(self, name: WorkerName, offset: int, limit: int) -> bytes:
        """Returns at most `limit` bytes of the worker's output from `offset` on; a negative one counts from the end.

        Nothing there, or nothing yet, is empty.
        """
