"""One supervised process: started, watched until it is ready, and started again whenever it dies."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from symbiont.common.errors import SymbiontError
from symbiont.common.log import get_logger
from symbiont.local import processes
from symbiont.local.processes import Identity

POLL_S = 0.1
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
# A process that was ready for this long is healthy: its next death starts the delays over.
SETTLED_S = 60.0
LARGEST_LOG_BYTES = 32 << 20


@dataclass(frozen=True)
class ProcessSpec:
    """What to run.

    Attributes:
        command: returns arguments and environment; asked before every start, so that it may prepare the ground.
        log: file that stdout and stderr are appended to.
        ready: asks whether the process serves; called about ten times a second until it says so.
        keep_children: leave the processes that it started alone when it dies, because they can live without it.
        stop_seconds: time between SIGTERM and SIGKILL.
    """

    name: str
    command: Callable[[], tuple[Sequence[str], Mapping[str, str]]]
    log: Path
    ready: Callable[[], bool]
    keep_children: bool = False
    stop_seconds: float = 15.0


class State(StrEnum):
    """Where a supervised process stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Status:
    """A snapshot of a supervised process. `last_exit` says how it died last; empty when it never did."""

    name: str
    state: State = State.STOPPED
    process: Identity | None = None
    restarts: int = 0
    last_exit: str = ""

    @property
    def uptime(self) -> float:
        """Seconds since it was started; 0 when it does not run."""
        return processes.uptime(self.process) if self.process else 0.0


class Child:
    """Keeps one process alive from a thread of its own, until it is stopped."""

    def __init__(self, spec: ProcessSpec, on_change: Callable[[Status], None]) -> None:
        self.spec = spec
        self.status = Status(spec.name)
        self._on_change = on_change
        self._stopping = threading.Event()
        # Held while a process is started, so that a stop sees either none or its pid.
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_alive, name=f"supervise-{spec.name}", daemon=True)

    def start(self) -> None:
        """Starts the process; returns at once."""
        self._thread.start()

    def let_go(self) -> None:
        """From now on the process is not started again."""
        with self._lock:
            self._stopping.set()

    def stop(self) -> None:
        """Ends the process with SIGTERM, after `stop_seconds` with SIGKILL, and waits for it."""
        self.let_go()
        process = self._process
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(self.spec.stop_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread.ident:
            self._thread.join()
        self._set(State.STOPPED, None)

    def _keep_alive(self) -> None:
        delay = FIRST_DELAY_S
        while not self._stopping.is_set():
            exit_text, settled = self._run_once()
            if self._stopping.is_set():
                return
            delay = FIRST_DELAY_S if settled else delay
            restarts = self.status.restarts + 1
            self._set(State.RESTARTING, None, restarts, f"{exit_text}; restart {restarts} in {delay:g} s")
            self._stopping.wait(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)

    def _run_once(self) -> tuple[str, bool]:
        """Runs the process to its end; returns how it ended, and whether it had been ready for long."""
        try:
            process = self._spawn()
        except (OSError, SymbiontError) as exc:
            return f"cannot be started: {exc}", False
        except Exception as exc:  # noqa: BLE001, what nobody foresaw is said and tried again; else the watch ends in silence
            get_logger().exception("a process could not be started", process=self.spec.name)
            return f"cannot be started: {exc!r}", False
        if process is None:
            return "", False
        ready_at = self._attend(process)
        if self.status.process and not self.spec.keep_children:
            processes.stop(processes.session_members(self.status.process), seconds=0)
        settled = ready_at is not None and time.monotonic() - ready_at > SETTLED_S
        return describe_exit(process.returncode), settled

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            argv, env = self.spec.command()
            with _open_log(self.spec.log) as log:
                self._process = self._launch(argv, env, log)
        self._set(State.STARTING, processes.identify(self._process.pid))
        return self._process

    def _launch(self, argv: Sequence[str], env: Mapping[str, str], log: BinaryIO) -> subprocess.Popen[bytes]:
        """Starts it in a session of its own, so that Ctrl-C reaches the supervisor alone."""
        return subprocess.Popen(
            argv,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _attend(self, process: subprocess.Popen[bytes]) -> float | None:
        """Waits until the process ends; returns when it became ready, by the monotonic clock."""
        ready_at: float | None = None
        while process.poll() is None:
            if ready_at is None and self.spec.ready() and process.poll() is None:
                ready_at = time.monotonic()
                self._set(State.READY, self.status.process)
            time.sleep(POLL_S)
        return ready_at

    def _set(
        self, state: State, process: Identity | None, restarts: int | None = None, last_exit: str | None = None
    ) -> None:
        before = self.status
        self.status = Status(
            self.spec.name,
            state,
            process,
            before.restarts if restarts is None else restarts,
            before.last_exit if last_exit is None else last_exit,
        )
        self._on_change(self.status)


def describe_exit(code: int) -> str:
    """Says in words how a process ended."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")
