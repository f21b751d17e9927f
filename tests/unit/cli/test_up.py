"""`up` as a real process, with tiny processes in the places of the services."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

UP = """
import os, sys
from symbiont.cli.app import main
from symbiont.local import stack
from symbiont.local.child import ProcessSpec
from symbiont.local.services import NAMES

ARGV = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]

def specs(home, ports, triton, certificates):
    return [ProcessSpec(n, lambda: (ARGV, os.environ), home.logs / f"{n}.log", lambda: True) for n in NAMES]

stack.process_specs = specs
main(["up"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_restarts_and_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "SYMBIONT_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", UP], env=environment, stdout=subprocess.PIPE, text=True) as up:
        record = _record(tmp_path, 4)
        os.kill(record["triton"], signal.SIGKILL)
        end = time.monotonic() + 10
        while _record(tmp_path, 4)["triton"] == record["triton"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        pids = _record(tmp_path, 4).values()
        up.send_signal(number)
        out, _ = up.communicate(timeout=60)
    assert up.returncode == 0
    lines = out.splitlines()
    assert "triton: restarting (killed by SIGKILL; restart 1 in 0.5 s)" in lines
    assert [line for line in lines if line.endswith(": stopped")] == [
        f"{name}: stopped" for name in ("inference", "triton", "training", "tokenization")
    ]
    assert lines[-1] == "stopped"
    assert not any(psutil.pid_exists(pid) for pid in pids)


def _record(home: Path, count: int) -> dict[str, int]:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        file = home / "run.json"
        found = json.loads(file.read_text())["processes"] if file.exists() else {}
        if len(found) == count:
            return {name: process["pid"] for name, process in found.items()}
        time.sleep(0.05)
    raise TimeoutError(home)
