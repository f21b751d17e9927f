"""Workers as processes on this machine, each in a session of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import psutil

from symbiont.common.errors import Unavailable
from symbiont.common.threads import QUIET
from symbiont.training.executors import Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.fork_server import ForkServer

SPEC = "spec.json"
# Where the worker keeps what the controller has not acknowledged.
SPOOL = "spool.bin"
# Names the file in which the worker says which process it is, before it loads anything heavy.
MARK_VARIABLE = "SYMBIONT_WORKER_MARK"
_SPEC = re.compile(rf" --spec (/.*/([^/]+)/attempt-(\d+)/{re.escape(SPEC)}) --attempt")
WORKER = (sys.executable, "-m", "symbiont.training.worker")
_SIGNALS = {WorkerSignal.TERMINATE: signal.SIGTERM, WorkerSignal.KILL: signal.SIGKILL}


class LocalExecutor:
    """Keeps each attempt's spec, and each rank's log and mark, in `{root}/{job}/attempt-{n}/`."""

    def __init__(
        self,
        root: Path,
        threads: int,
        program: Sequence[str] = WORKER,
        fork_server: ForkServer | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`threads` are a worker's, shared by its ranks; `program` is what gets `--spec` and `--attempt`.

        With a `fork_server` workers are its forks whenever it can fork, and else, the `program`. `environment` goes
        over that of this process.
        """
        self._root = root.absolute()
        self._threads = threads or os.cpu_count() or 1
        self._program = tuple(program)
        self._fork_server = fork_server
        self._environment = environment
        # Those that this one has started itself.
        self._children: dict[WorkerName, list[subprocess.Popen[bytes]]] = {}

    def launch(self, launch: Launch) -> None:
        """Starts a process for each rank."""
        # Nobody asks again for those that have done their work.
        self._reap(list(self._children))
        folder = self._folder(launch.name)
        # Looking through all processes is for what may have been launched before: one that has just begun may not say
        # its name yet.
        if launch.name in self._children or ((folder / SPEC).exists() and self._running(launch.name)):
            return
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{SPEC}"
        # The worker's pass is in it.
        temporary.touch(0o600)
        temporary.write_text(launch.spec_json)
        temporary.rename(folder / SPEC)
        port = _free_port() if launch.ranks > 1 else 0
        try:
            for rank in range(launch.ranks):
                self._start(launch, folder, rank, port)
        except Unavailable:
            # Some ranks without the others would wait for ever.
            self.signal(launch.name, WorkerSignal.KILL)
            raise

    def _start(self, launch: Launch, folder: Path, rank: int, port: int) -> None:
        arguments = ["--spec", str(folder / SPEC), "--attempt", str(launch.name.attempt)]
        environment = {
            **QUIET,
            **os.environ,
            **self._environment,
            "OMP_NUM_THREADS": str(max(self._threads // launch.ranks, 1)),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            MARK_VARIABLE: str(_mark(folder, rank)),
        }
        if launch.ranks > 1:
            environment |= {"RANK": str(rank), "WORLD_SIZE": str(launch.ranks)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        with _log(folder, rank).open("ab") as log:
            if self._fork_server:
                forked = self._fork_server.fork("worker", arguments, environment, log.fileno(), log.fileno())
                if forked:
                    # How it ends is told by its mark, as of a worker that was adopted.
                    forked.connection.close()
                    return
            child = subprocess.Popen(
                [*self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._children.setdefault(launch.name, []).append(child)

    def probe(self, name: WorkerName) -> WorkerStatus:
        """Looks for the processes of the marks; pid and start time must both agree."""
        self._reap([name])
        marks = [_read_mark(path) for path in sorted(self._folder(name).glob("worker*.json"))]
        written = [mark for mark in marks if mark is not None]
        if not written:
            return WorkerStatus.UNKNOWN
        return WorkerStatus.ALIVE if all(_process(mark) for mark in written) else WorkerStatus.EXITED

    def signal(self, name: WorkerName, signal: WorkerSignal) -> None:
        """Signals every process of a worker."""
        for process in self._running(name):
            # One that has ended in the meantime needs no signal.
            try:
                process.send_signal(_SIGNALS[signal])
            except psutil.NoSuchProcess:
                continue

    def adopt(self, name: WorkerName) -> WorkerStatus:
        """Finds the worker by its mark, or by its command line before it has left one: here that is certain."""
        status = self.probe(name)
        if status is not WorkerStatus.UNKNOWN:
            return status
        return WorkerStatus.ALIVE if self._running(name) else WorkerStatus.EXITED

    def list(self) -> list[WorkerName]:
        """Returns the workers under this root that live."""
        return sorted({name for name, _ in self._workers()}, key=lambda name: (name.job, name.attempt))

    def where(self, name: WorkerName) -> str:
        """Names the log file."""
        return str(_log(self._folder(name), 0))

    def read_log(self, name: WorkerName, offset: int, limit: int) -> bytes:
        """Reads the log of rank 0."""
        try:
            with _log(self._folder(name), 0).open("rb") as stream:
                end = stream.seek(0, os.SEEK_END)
                stream.seek(max(end + offset, 0) if offset < 0 else offset)
                return stream.read(limit)
        except FileNotFoundError:
            return b""

    def spool(self, name: WorkerName) -> Path:
        """Returns the file in which a worker leaves what the controller has not acknowledged."""
        return self._folder(name) / SPOOL

    def _reap(self, names: Iterable[WorkerName]) -> None:
        """Looks after children that have ended: they would stay in the process table as zombies."""
        for name in names:
            living = [child for child in self._children.pop(name, []) if child.poll() is None]
            if living:
                self._children[name] = living

    def _folder(self, name: WorkerName) -> Path:
        return self._root / name.job / f"attempt-{name.attempt}"

    def _running(self, name: WorkerName) -> Sequence[psutil.Process]:
        return [process for found, process in self._workers() if found == name]

    def _workers(self) -> Iterator[tuple[WorkerName, psutil.Process]]:
        """Yields the processes whose command line names a spec under this root."""
        for process in psutil.process_iter(["cmdline", "status"]):
            # That of a fork is one string, whatever spaces the path may have.
            named = _SPEC.search(" ".join(process.info["cmdline"] or []))
            if named and process.info["status"] != psutil.STATUS_ZOMBIE:
                spec, job, attempt = named.groups()
                name = WorkerName(job, int(attempt))
                if Path(spec) == self._folder(name) / SPEC:
                    yield name, process


def leave_mark(path: Path) -> None:
    """Writes the mark of the current process; called by the worker."""
    process = psutil.Process()
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps({"pid": process.pid, "create_time": process.create_time()}))
    temporary.rename(path)


def _mark(folder: Path, rank: int) -> Path:
    return folder / (f"worker-{rank}.json" if rank else "worker.json")


def _log(folder: Path, rank: int) -> Path:
    return folder / (f"worker-{rank}.log" if rank else "worker.log")


def _read_mark(path: Path) -> dict[str, float] | None:
    try:
        mark: dict[str, float] = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return mark


def _process(mark: dict[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(mark["pid"]))
        same = abs(process.create_time() - mark["create_time"]) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
