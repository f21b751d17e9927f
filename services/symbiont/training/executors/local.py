"""Workers as processes on this machine, each in a session of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from symbiont.common.threads import QUIET
from symbiont.training.executors import WorkerStatus

SPEC = "spec.json"
# Written by the worker itself, before it loads anything heavy, so that no crash of the controller can lose track of it.
MARK = "worker.json"


class LocalExecutor:
    """Keeps each attempt's spec, log and process mark in `{root}/{job}/attempt-{n}/`."""

    def __init__(self, root: Path, threads: int) -> None:
        self._root = root.absolute()
        self._threads = threads or os.cpu_count() or 1
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def launch(self, job: str, attempt: int, spec_json: str) -> None:
        """Starts `python -m symbiont.training.worker`."""
        folder = self._folder(job, attempt)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SPEC).write_text(spec_json)
        command = [
            sys.executable,
            "-m",
            "symbiont.training.worker",
            "--spec",
            str(folder / SPEC),
            "--attempt",
            str(attempt),
        ]
        environment = {
            **QUIET,
            **os.environ,
            "OMP_NUM_THREADS": str(self._threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        with (folder / "worker.log").open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._children[child.pid] = child

    def probe(self, job: str, attempt: int) -> WorkerStatus:
        """Looks for the process of the mark; pid and start time must both agree."""
        # Reaping first: a child that has ended would otherwise stay in the process table as a zombie.
        self._children = {pid: child for pid, child in self._children.items() if child.poll() is None}
        mark = self._mark(job, attempt)
        if mark is None:
            return WorkerStatus.UNKNOWN
        return WorkerStatus.ALIVE if _process(mark) else WorkerStatus.EXITED

    def kill(self, job: str, attempt: int) -> None:
        """Sends SIGKILL to the worker."""
        mark = self._mark(job, attempt)
        process = mark and _process(mark)
        if process:
            process.send_signal(signal.SIGKILL)

    def log_path(self, job: str, attempt: int) -> Path:
        """Returns the worker's log."""
        return self._folder(job, attempt) / "worker.log"

    def _folder(self, job: str, attempt: int) -> Path:
        return self._root / job / f"attempt-{attempt}"

    def _mark(self, job: str, attempt: int) -> dict[str, float] | None:
        try:
            mark: dict[str, float] = json.loads((self._folder(job, attempt) / MARK).read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return mark


def leave_mark(folder: Path) -> None:
    """Writes the mark of the current process; called by the worker."""
    process = psutil.Process()
    temporary = folder / f".{MARK}"
    temporary.write_text(json.dumps({"pid": process.pid, "create_time": process.create_time()}))
    temporary.rename(folder / MARK)


def _process(mark: dict[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(mark["pid"]))
        same = abs(process.create_time() - mark["create_time"]) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
