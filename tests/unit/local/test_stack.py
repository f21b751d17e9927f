"""The stack on a home, with four tiny processes in the places of the services."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from symbiont.local import stack as stack_module
from symbiont.local.child import ProcessSpec
from symbiont.local.home import Home, HomeBusyError, RunRecord, default_home
from symbiont.local.processes import Identity, find, identify
from symbiont.local.services import NAMES, Ports
from symbiont.local.stack import Stack

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]

HOLD = """
import time
from pathlib import Path
from symbiont.local.home import Home
with Home(Path({root!r})).locked():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    def specs(home: Home, ports: Ports, triton: Path | None, certificates: object) -> list[ProcessSpec]:
        return [ProcessSpec(n, lambda: (SLEEP, os.environ), home.logs / f"{n}.log", lambda: True) for n in NAMES]

    monkeypatch.setattr(stack_module, "process_specs", specs)
    return Home(tmp_path / "home")


@pytest.fixture
def sleeper() -> Any:
    made: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen(SLEEP, start_new_session=True))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()


def record_worker(home: Home, identity: Identity, job: str = "j1") -> None:
    folder = home.jobs / job / "attempt-1"
    folder.mkdir(parents=True)
    (folder / "worker.json").write_text(identity.model_dump_json())


def test_run_file_is_true_while_it_runs(home: Home) -> None:
    with Stack(home) as stack:
        stack.wait_ready(10)
        record = home.running()
        assert record == stack.record
        assert record
        assert set(record.processes) == set(record.addresses) == set(record.metrics_urls) == set(NAMES)
        pids = {name: identity.pid for name, identity in record.processes.items()}
        os.kill(pids["triton"], signal.SIGKILL)
        _until(lambda: _pid(home, "triton") not in (None, pids["triton"]))
        assert _pid(home, "inference") == pids["inference"]
        living = [s.process for s in stack.snapshot()]
    assert not any(find(identity) for identity in living if identity)
    assert home.running() is None
    assert not home.run_file.exists()


def test_a_second_supervisor_is_refused(home: Home) -> None:
    with Stack(home), pytest.raises(HomeBusyError, match=f"in use by process {os.getpid()}"), Stack(home):
        pass
    with Stack(home):
        pass


def test_leftovers_of_a_killed_supervisor_are_stopped(home: Home, sleeper: Any) -> None:
    left, stranger, killed = sleeper(), sleeper(), sleeper()
    before = RunRecord(
        supervisor=Identity(pid=killed.pid, create_time=1.0),
        # The pid of the stranger was another process's when the record was written.
        processes={"triton": identify(left.pid), "training": Identity(pid=stranger.pid, create_time=1.0)},
        addresses={"training": "127.0.0.1:1"},
    )
    home.root.mkdir()
    home.write_run(before)
    assert home.running() is None
    with Stack(home) as stack:
        assert stack.replaced == [left.pid]
    assert left.poll() is not None
    assert stranger.poll() is None


def test_workers_are_stopped_too(home: Home, sleeper: Any) -> None:
    worker, stranger = sleeper(), sleeper()
    with Stack(home) as stack:
        stack.wait_ready(10)
        record_worker(home, identify(worker.pid))
        record_worker(home, Identity(pid=stranger.pid, create_time=1.0), "j2")
        record_worker(home, Identity(pid=2**22 + 1, create_time=1.0), "j3")
        (home.jobs / "j3" / "attempt-1" / "worker.json").write_text("{")
    assert worker.poll() is not None
    assert stranger.poll() is None


def test_ports_of_a_killed_supervisor_are_taken_again(home: Home) -> None:
    with Stack(home) as stack:
        training = stack.record.addresses["training"]
        free = stack.ports.of["inference"] + 1000
    home.write_run(RunRecord(supervisor=Identity(pid=1, create_time=1.0), addresses={"training": f"127.0.0.1:{free}"}))
    with Stack(home) as again:
        assert again.record.addresses["training"] == f"127.0.0.1:{free}" != training
        assert again.ports.moved()["training"] == free


def test_a_damaged_record_is_no_record(home: Home) -> None:
    home.root.mkdir()
    home.run_file.write_text(json.dumps({"supervisor": 3}))
    assert home.read_run() is None
    assert Home(home.run_file).read_run() is None


def test_default_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYMBIONT_HOME", str(tmp_path / "x"))
    assert default_home().root == tmp_path / "x"
    monkeypatch.delenv("SYMBIONT_HOME")
    monkeypatch.chdir(tmp_path)
    assert default_home().root == tmp_path / ".symbiont"


def _pid(home: Home, name: str) -> int | None:
    record = home.read_run()
    return record.processes[name].pid if record and name in record.processes else None


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_lock_dies_with_its_holder(home: Home) -> None:
    code = HOLD.format(root=str(home.root))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HomeBusyError, match=str(holder.pid)), home.locked():
            pass
        psutil.Process(holder.pid).kill()
    with home.locked():
        pass
