"""Runs `limit.py` beside the servers: the limit that a server can come near to, and the labels to agree with."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import symbiont
from serving.client import Outcome
from serving.model import Served
from serving.peers import ENGINES, IN_PROCESS, environment_python, installation_error
from serving.processes import rest, tree, wake
from serving.workloads import Workload

SCRIPT = Path(__file__).with_name("limit.py")
BATCH = 32


@dataclass
class InProcess:
    """A runtime in a process of its own that serves nobody."""

    name: str
    process: "subprocess.Popen[str]"
    folder: Path

    def measure(self, workload: Workload) -> tuple[Outcome, list[str]]:
        """Returns what the texts of a workload take in batches of 32, and their labels."""
        texts = [text for call in workload.calls for text in call]
        file = self.folder / f"{workload.name}.json"
        file.write_text(json.dumps([texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]))
        pids = tree(self.process.pid)
        wake(pids)
        answer = json.loads(self._ask(str(file)))
        rest(pids)
        return Outcome(answer["seconds"], cpu={"server": answer["cpu"]}), answer["labels"]

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended: {(self.folder / 'log').read_text()[-2000:]}")
        return answer


@contextlib.contextmanager
def runtimes(served: Served, model: Path | None, work: Path, threads: int) -> Iterator[list[InProcess]]:
    """Starts the engine of the suite and, where they are installed, the runtimes that the peers serve."""
    with contextlib.ExitStack() as stack:
        engine = {**asdict(served), "artifacts": str(served.artifacts), "runtime": "engine", "threads": str(threads)}
        found = [stack.enter_context(_run("engine", Path(sys.executable), engine, {}, work))]
        if model is not None and not installation_error(IN_PROCESS):
            for name in ENGINES:
                env = {"BENCH_MODEL": str(model), "BENCH_ENGINE": name, "BENCH_THREADS": str(threads)}
                python = environment_python(IN_PROCESS)
                found.append(stack.enter_context(_run(name, python, {"runtime": name}, env, work)))
        yield found


@contextlib.contextmanager
def _run(name: str, python: Path, settings: dict[str, str], env: dict[str, str], work: Path) -> Iterator[InProcess]:
    folder = work / f"in-process-{name}"
    folder.mkdir(parents=True)
    env = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(Path(symbiont.__path__[0]).parent), **env}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, SCRIPT, json.dumps(settings)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield InProcess(f"in process: {name}", process, folder)
    finally:
        process.kill()
        process.wait()
