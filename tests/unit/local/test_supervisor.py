"""Supervision with real, tiny child processes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from symbiont.local import child as child_module
from symbiont.local.child import ProcessSpec, State, Status
from symbiont.local.supervisor import NotReadyError, Supervisor

SLEEP = "import time; open({ready!r}, 'w').close(); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({ready!r}, 'w').close(); time.sleep(600)"
)
PARENT = """
import subprocess, sys, time
p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])
open({ready!r} + '.tmp', 'w').write(str(p.pid))
import os; os.replace({ready!r} + '.tmp', {ready!r})
time.sleep(600)
"""


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., ProcessSpec]:
    def make(name: str, script: str = SLEEP, **more: Any) -> ProcessSpec:
        ready = tmp_path / f"{name}.ready"
        return ProcessSpec(
            name=name,
            command=lambda: ([sys.executable, "-S", "-c", script.format(ready=str(ready))], os.environ),
            log=tmp_path / "logs" / f"{name}.log",
            ready=ready.exists,
            **{"stop_seconds": 5.0, **more},
        )

    return make


@pytest.fixture
def supervise() -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def make(*specs: ProcessSpec, **more: Any) -> Supervisor:
        made.append(Supervisor(specs, **more))
        made[-1].start()
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.stop()


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
    return value


def pid_of(supervisor: Supervisor, name: str) -> int:
    status = next(s for s in supervisor.snapshot() if s.name == name)
    assert status.process
    return status.process.pid


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_starts_and_stops_last_to_first(spec: Any, supervise: Any) -> None:
    seen: list[Status] = []
    supervisor = supervise(spec("a"), spec("b"), on_change=seen.append)
    supervisor.wait_ready(10)
    pids = [pid_of(supervisor, name) for name in ("a", "b")]
    assert [s.state for s in supervisor.snapshot()] == [State.READY, State.READY]
    assert all(s.uptime > 0 for s in supervisor.snapshot())
    assert {os.getsid(pid) for pid in pids} == set(pids)
    supervisor.stop()
    assert [s.name for s in seen if s.state is State.STOPPED] == ["b", "a"]
    assert all(gone(pid) for pid in pids)
    assert [s.restarts for s in supervisor.snapshot()] == [0, 0]


def test_a_killed_process_comes_back(spec: Any, supervise: Any) -> None:
    supervisor = supervise(spec("a"), spec("b"))
    supervisor.wait_ready(10)
    first, neighbour = pid_of(supervisor, "a"), pid_of(supervisor, "b")
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.snapshot()[0].restarts == 1)
    supervisor.wait_ready(10)
    status = supervisor.snapshot()[0]
    assert pid_of(supervisor, "a") != first
    assert status.last_exit == "killed by SIGKILL; restart 1 in 0.5 s"
    assert pid_of(supervisor, "b") == neighbour


def test_delays_grow(spec: Any, supervise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "FIRST_DELAY_S", 0.01)
    seen: list[Status] = []
    supervisor = supervise(spec("a", "print('no', flush=True); raise SystemExit(3)"), on_change=seen.append)
    until(lambda: supervisor.snapshot()[0].restarts >= 4)
    texts = [s.last_exit for s in seen if s.state is State.RESTARTING][:4]
    assert texts == [f"ended with status 3; restart {i + 1} in {0.01 * 2**i:g} s" for i in range(4)]
    with pytest.raises(NotReadyError, match=r"a is \w+ \(ended with status 3"):
        supervisor.wait_ready(0.1)


def test_a_program_that_does_not_exist_is_reported(spec: Any, supervise: Any, tmp_path: Path) -> None:
    broken = ProcessSpec("a", lambda: ([str(tmp_path / "none")], {}), tmp_path / "a.log", lambda: False)
    supervisor = supervise(broken)
    until(lambda: "cannot be started" in supervisor.snapshot()[0].last_exit)


def test_a_start_that_fails_as_nobody_foresaw_is_said_and_tried_again(
    spec: Any, supervise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "FIRST_DELAY_S", 0.01)
    sound, tries = spec("a"), []

    def command() -> Any:
        tries.append(1)
        if len(tries) < 2:
            raise KeyError("GONE")
        return sound.command()

    supervisor = supervise(replace(sound, command=command))
    supervisor.wait_ready(10)
    assert supervisor.snapshot()[0].last_exit == "cannot be started: KeyError('GONE'); restart 1 in 0.01 s"


def test_what_ignores_sigterm_is_killed(spec: Any, supervise: Any) -> None:
    supervisor = supervise(spec("a", STUBBORN, stop_seconds=0.3))
    supervisor.wait_ready(10)
    pid = pid_of(supervisor, "a")
    supervisor.stop()
    assert gone(pid)


@pytest.mark.parametrize("keep", [False, True])
def test_children_of_a_killed_process(spec: Any, supervise: Any, tmp_path: Path, keep: bool) -> None:
    supervisor = supervise(spec("a", PARENT, keep_children=keep))
    supervisor.wait_ready(10)
    grandchild = int((tmp_path / "a.ready").read_text())
    os.kill(pid_of(supervisor, "a"), signal.SIGKILL)
    until(lambda: supervisor.snapshot()[0].restarts == 1)
    try:
        assert gone(grandchild) is not keep
    finally:
        if keep:
            os.kill(grandchild, signal.SIGKILL)


def test_stop_during_a_restart_delay(spec: Any, supervise: Any) -> None:
    supervisor = supervise(spec("a", "raise SystemExit(1)"))
    until(lambda: supervisor.snapshot()[0].state is State.RESTARTING)
    started = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - started < 3
    assert supervisor.snapshot()[0].state is State.STOPPED


def test_output_goes_to_the_log(spec: Any, supervise: Any, tmp_path: Path) -> None:
    supervise(spec("a", "import sys; print('out'); print('err', file=sys.stderr)"))
    until(lambda: "err" in (tmp_path / "logs/a.log").read_text() if (tmp_path / "logs/a.log").exists() else "")
    assert "out" in (tmp_path / "logs/a.log").read_text()
