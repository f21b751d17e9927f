"""The folder that one machine's suite lives in, who runs it now, and where it can be reached."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from symbiont.common.artifacts import is_url
from symbiont.common.security.suite import FOLDER, SuiteCertificates
from symbiont.local.processes import Identity, find, identify

DEFAULT_HOME = ".symbiont"


class HomeBusyError(Exception):
    """Another supervisor runs on this folder."""


class RunRecord(BaseModel):
    """What runs on a home: `run.json`. Keys of the tables are process names."""

    model_config = ConfigDict(frozen=True)

    supervisor: Identity
    processes: dict[str, Identity] = {}
    addresses: dict[str, str] = {}
    metrics_urls: dict[str, str] = {}

    @property
    def alive(self) -> bool:
        """Whether the supervisor that wrote it still runs."""
        return find(self.supervisor) is not None


@dataclass(frozen=True)
class Home:
    """Paths inside a home folder."""

    root: Path

    @property
    def artifacts(self) -> Path:
        """The home's own folder of artifacts."""
        return self.root / "artifacts"

    @property
    def artifact_root(self) -> str:
        """Root of the artifact store: the object store that the environment names, else the home's own folder."""
        named = os.environ.get("SYMBIONT_ARTIFACT_ROOT", "")
        return named if is_url(named) else str(self.artifacts)

    @property
    def master_key(self) -> Path:
        """The key that wraps all others, where the environment names none."""
        return self.root / "master.key"

    @property
    def database(self) -> Path:
        """The registry."""
        return self.root / "symbiont.db"

    @property
    def jobs(self) -> Path:
        """Specs and logs of the training workers."""
        return self.root / "jobs"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def certificates(self) -> SuiteCertificates:
        """The authority of this home, and the certificates that its processes and their callers show."""
        return SuiteCertificates(self.root / FOLDER)

    @property
    def keys(self) -> Path:
        """The key that signs what is made here, and the keys that are trusted."""
        return self.root / "keys"

    @property
    def run_file(self) -> Path:
        """Record of what runs; absent when nothing does."""
        return self.root / "run.json"

    @property
    def lock_file(self) -> Path:
        """Locked by the supervisor for as long as it lives."""
        return self.root / "lock"

    def read_run(self) -> RunRecord | None:
        """Returns the record of the last supervisor that was not stopped in order; None when there is none."""
        try:
            return RunRecord.model_validate_json(self.run_file.read_text())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None

    def running(self) -> RunRecord | None:
        """Returns the record of the supervisor that runs now."""
        record = self.read_run()
        return record if record and record.alive else None

    def write_run(self, record: RunRecord) -> None:
        """Replaces the record; a reader sees the old or the new one whole."""
        temporary = self.run_file.with_suffix(".tmp")
        temporary.write_text(record.model_dump_json(indent=2))
        temporary.replace(self.run_file)

    def clear_run(self) -> None:
        """Removes the record."""
        self.run_file.unlink(missing_ok=True)

    def workers(self) -> list[Identity]:
        """Returns the training workers that the controller has recorded and that still live."""
        found = (_worker(path) for path in self.jobs.glob("*/attempt-*/worker.json"))
        return [worker for worker in found if worker and find(worker)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the lock dies with it.

        Raises:
            HomeBusyError: another process holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                stream.seek(0)
                raise HomeBusyError(f"{self.root} is in use by process {stream.read().strip() or '?'}") from exc
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield


def default_home() -> Home:
    """Returns the home that `SYMBIONT_HOME` names, else `.symbiont` in the working folder."""
    return Home(Path(os.environ.get("SYMBIONT_HOME", DEFAULT_HOME)).absolute())


def own_identity() -> Identity:
    """Returns the identity of this process."""
    identity = identify(os.getpid())
    if identity is None:
        raise RuntimeError("this process cannot see itself in the process table")
    return identity


def _worker(path: Path) -> Identity | None:
    try:
        return Identity.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError):
        # Half of a file, or one that went away: the controller that writes it knows better.
        return None
