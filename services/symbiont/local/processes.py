"""Processes by pid and start time, so that a pid which now belongs to another program is never signalled."""

import contextlib
import os
import time
from collections.abc import Iterable

import psutil
from pydantic import BaseModel, ConfigDict

# Start times are reckoned from the boot time, which a clock correction may move by a second.
_SAME_START_S = 2.0


class Identity(BaseModel):
    """A process: its pid, and its start in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    pid: int
    create_time: float


def identify(pid: int) -> Identity | None:
    """Returns the identity of a living process; None when there is none."""
    try:
        return Identity(pid=pid, create_time=psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def find(identity: Identity) -> psutil.Process | None:
    """Returns the process, if it still lives and is the same one."""
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.create_time) < _SAME_START_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def descendants(pid: int) -> list[Identity]:
    """Returns the living processes below one."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return [found for child in children if (found := identify(child.pid))]


def session_members(leader: Identity) -> list[Identity]:
    """Returns the living processes of a session, the leader excepted; they outlive a leader that is killed.

    A pid is not given away while a session goes by it, so another process under the leader's pid means that there is
    nothing left.
    """
    if psutil.pid_exists(leader.pid) and find(leader) is None and not _is_zombie(leader.pid):
        return []
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if process.pid != leader.pid and os.getsid(process.pid) == leader.pid:
                members.append(Identity(pid=process.pid, create_time=process.create_time()))
    return members


def terminate(identities: Iterable[Identity]) -> None:
    """Sends SIGTERM in the order given, and waits for nothing."""
    for identity in identities:
        with contextlib.suppress(psutil.Error):
            if process := find(identity):
                process.terminate()


def stop(identities: Iterable[Identity], seconds: float) -> list[int]:
    """Asks processes to end with SIGTERM, kills what is left after `seconds`; returns the pids that were there."""
    processes = [process for identity in identities if (process := find(identity))]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)
    return [process.pid for process in processes]


def uptime(identity: Identity) -> float:
    """Returns the seconds since a process started."""
    return max(0.0, time.time() - identity.create_time)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
