"""Workers as Ray Jobs. Ray gives machines and nothing else: it holds no state that the controller would miss.

A worker of one rank is the job's own program, which Ray puts on any node with room. One of several ranks is a launcher
(`ray_ranks`), which spreads them over the nodes.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

from symbiont.common.threads import QUIET
from symbiont.training.executors import Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.executors.packing import SPEC_VARIABLE, pack_spec
from symbiont.training.executors.ray_jobs import PENDING, RUNNING, RayJob, RayJobs

SUITE, JOB, ATTEMPT = "symbiont_suite", "symbiont_job", "symbiont_attempt"


class RayExecutor:
    """Runs workers on the cluster whose dashboard is at `address`.

    Every machine of the cluster has this package, and sees the artifact store and the services at the addresses that
    the specs name.
    """

    def __init__(
        self,
        address: str,
        token: str,
        threads: int = 0,
        *,
        suite: str = "symbiont",
        python: str = "python",
        cpus: float = 1,
        stop_seconds: int = 30,
        grace_seconds: int = 10,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        """Sets up calls; nothing is called yet.

        Args:
            address: URL of the dashboard, `http://host:8265`.
            token: the cluster's RAY_AUTH_TOKEN; empty where it asks for none.
            threads: threads of each rank; 0: as many as its CPUs.
            suite: begins the names of the workers: one for all controllers on one database, and another for every
                other database whose jobs share the cluster.
            python: the interpreter on the machines of the cluster.
            cpus: what Ray sets aside for each rank.
            stop_seconds: between SIGTERM and SIGKILL, for TERMINATE and KILL alike.
            grace_seconds: what the other ranks have to end in when one has failed.
            environment: further variables of the workers. Ray puts its own variables in for `$NAME`.
            program: the worker's program. Default: `python -m symbiont.training.worker`.
        """
        self._jobs = RayJobs(address, token)
        self._suite = suite
        self._python = python
        self._cpus = cpus
        self._grace_seconds = grace_seconds
        self._program = list(program or (python, "-m", "symbiont.training.worker"))
        self._environment = {
            **QUIET,
            "OMP_NUM_THREADS": str(threads or ceil(cpus)),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            **(environment or {}),
            "RAY_JOB_STOP_WAIT_TIME_S": str(stop_seconds),
        }

    def close(self) -> None:
        """Closes the connections; workers go on."""
        self._jobs.close()

    def launch(self, launch: Launch) -> None:
        """Submits the job of an attempt, which then waits until the cluster has room for it."""
        name = launch.name
        variables = {**self._environment, SPEC_VARIABLE: pack_spec(launch.spec_json)}
        job: dict[str, Any] = {
            "entrypoint": self._entrypoint(launch),
            "runtime_env": {"env_vars": variables},
            "metadata": {SUITE: self._suite, JOB: name.job, ATTEMPT: str(name.attempt)},
        }
        if launch.ranks == 1:
            job["entrypoint_num_cpus"] = self._cpus
        self._jobs.submit(self._submission(name), job)

    def probe(self, name: WorkerName) -> WorkerStatus:
        """Asks Ray. A job that waits for room is UNKNOWN: it may come."""
        return _status(self._jobs.find(self._submission(name)))

    def signal(self, name: WorkerName, signal: WorkerSignal) -> None:
        """Stops the job. Ray knows one way only: SIGTERM, then SIGKILL; a job that waits is stopped when it starts."""
        self._jobs.stop(self._submission(name))

    def adopt(self, name: WorkerName) -> WorkerStatus:
        """Asks Ray. A name unknown to Ray stays UNKNOWN: a new head knows nothing of workers that have yet to end."""
        return self.probe(name)

    def list(self) -> list[WorkerName]:
        """Returns the workers of this suite that run or wait for room."""
        return [
            WorkerName(job.metadata[JOB], int(job.metadata[ATTEMPT]))
            for job in self._jobs.all()
            if job.metadata.get(SUITE) == self._suite and not job.has_ended
        ]

    def where(self, name: WorkerName) -> str:
        """Names the job and the dashboard."""
        submission = self._submission(name)
        return f"Ray job {submission}, at {self._jobs.address}/#/jobs/{submission}"

    def read_log(self, name: WorkerName, offset: int, limit: int) -> bytes:
        """Reads the job's output, rank 0's as it is, and lines of other ranks with their number.

        Where there is none and the job has ended, Ray's own words on it stand in.
        """
        job = self._jobs.find(self._submission(name))
        if job is None:
            return b""
        if job.node:
            with self._jobs.log(job) as pieces:
                found = cut(pieces, offset, limit)
            if found or offset > 0:
                return found
        return cut([job.message.encode()], offset, limit) if job.has_ended else b""

    def _submission(self, name: WorkerName) -> str:
        return f"{self._suite}-{name.job}-{name.attempt}"

    def _entrypoint(self, launch: Launch) -> str:
        worker = [*self._program, "--spec", f"env:{SPEC_VARIABLE}", "--attempt", str(launch.name.attempt)]
        if launch.ranks > 1:
            launcher = [self._python, "-m", "symbiont.training.executors.ray_ranks", "--ranks", str(launch.ranks)]
            launcher += ["--cpus", str(self._cpus), "--grace", str(self._grace_seconds), "--"]
            worker = launcher + worker
        # Without a shell in between that signals would have to pass.
        return f"exec {shlex.join(worker)}"


def cut(pieces: Iterable[bytes], offset: int, limit: int) -> bytes:
    """Returns at most `limit` bytes from `offset` on, a negative one counted from the end; holds little more."""
    found, passed = b"", 0
    for piece in pieces:
        if offset < 0:
            found = (found + piece)[offset:]
        else:
            found += piece[max(offset - passed, 0) :]
            passed += len(piece)
            if len(found) >= limit:
                break
    return found[:limit]


def _status(job: RayJob | None) -> WorkerStatus:
    if job is None or job.status == PENDING:
        return WorkerStatus.UNKNOWN
    return WorkerStatus.ALIVE if job.status == RUNNING else WorkerStatus.EXITED
