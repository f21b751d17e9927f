"""A real MLflow server on a free port. It is installed beside .venv by `make mlflow`, and runs on this Python."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from support.service import free_port
from support.waiting import until_sync

INSTALLED = Path(__file__).parents[2] / ".tools" / "mlflow"
needs_mlflow = pytest.mark.skipif(
    not (INSTALLED / ".installed").is_file(),
    reason="MLflow is not installed: `make mlflow` does so and runs these tests",
)
START_SECONDS = 120


class MLflowServer:
    """A server over a folder, which can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"http://127.0.0.1:{free_port()}"
        self._log = folder / "mlflow.log"
        port = self.uri.rpartition(":")[2]
        places = [
            "--backend-store-uri",
            f"sqlite:///{folder}/server.db",
            "--artifacts-destination",
            str(folder / "files"),
        ]
        self._command = [sys.executable, "-m", "mlflow", "server", *places, "--workers", "1", "--port", port]
        self._environment = os.environ | {
            "PYTHONPATH": str(INSTALLED),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # It would start processes for evaluations that nobody asks for.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "MLflowServer":
        """Starts it and waits until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        until_sync(self._answers, START_SECONDS)
        return self

    def kill(self) -> None:
        """Ends it and what it has started, with SIGKILL."""
        assert self._process is not None
        processes = [*psutil.Process(self._process.pid).children(recursive=True), self._process]
        for process in processes:
            process.kill()
        self._process.wait()
        psutil.wait_procs(processes[:-1], 10)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
