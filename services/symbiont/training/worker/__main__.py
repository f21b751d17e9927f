"""`python -m symbiont.training.worker --spec FILE --attempt N`: does the work of one attempt and exits."""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import json_format

from symbiont.api.training.v1 import worker_pb2
from symbiont.common.artifacts import ArtifactStore, take_over, trust_of_environment
from symbiont.common.encryption import tenant_of
from symbiont.common.errors import InvalidArgument, SymbiontError
from symbiont.common.exporting import exported
from symbiont.common.log import configure_logging, get_logger
from symbiont.common.security.files import Tls
from symbiont.common.tracing import Tracing
from symbiont.training.convert import inputs_from_proto, spec_from_proto
from symbiont.training.executors.local import MARK_VARIABLE, SPOOL, leave_mark
from symbiont.training.executors.packing import unpack_spec
from symbiont.training.spooling import Spool
from symbiont.training.types import Failure, FailureKind, Report, Stopped
from symbiont.training.worker.clients import ControllerLink, TokenizationClient
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import Diverged, RankLost, StopRequested, Unusable
from symbiont.training.worker.task import Attempt

if TYPE_CHECKING:
    from symbiont.training.worker.ranks import Ranks

STOP_SECONDS, LOOK_SECONDS = 5.0, 1.0
# A disk that is full or away may not be so later, or elsewhere.
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)
# What torch says on GPUs and CPUs: it has an error of its own for the former only.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def main() -> None:
    """Runs the attempt; the exit status is 0 when everything that it has to say was heard."""
    parser = argparse.ArgumentParser(prog="symbiont-worker", description="Does the work of one attempt at a job.")
    parser.add_argument(
        "--spec", required=True, help="file with the JSON form of WorkerSpec, or env:NAME of a variable with it, packed"
    )
    parser.add_argument("--attempt", type=int, required=True, help="number of the attempt")
    arguments = parser.parse_args()
    if MARK_VARIABLE in os.environ:
        leave_mark(Path(os.environ[MARK_VARIABLE]))
    configure_logging("info", "json", "worker")
    spec = json_format.Parse(read_spec(arguments.spec), worker_pb2.WorkerSpec())
    if spec.attempt != arguments.attempt:
        parser.error(f"--attempt is {arguments.attempt}, the spec is for attempt {spec.attempt}")
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    # Whether the trace is kept the controller has decided.
    with exported("worker", spec.trace.endpoint, sample_ratio=0) as tracing:
        if int(os.environ.get("RANK", "0")):
            status = follow(spec, tracing)
        else:
            status = work(spec, spool_of(arguments.spec), terminated, tracing)
    sys.exit(status)


def read_spec(where: str) -> str:
    """Returns the JSON form of the spec, from a file or a variable."""
    if where.startswith("env:"):
        return take_over(unpack_spec(os.environ[where.removeprefix("env:")]))
    return take_over(Path(where).read_text())


def spool_of(where: str) -> Path | None:
    """Returns where reports wait: beside the spec, where the controller finds what a dead worker has left."""
    return None if where.startswith("env:") else Path(where).parent / SPOOL


def work(spec: worker_pb2.WorkerSpec, spool: Path | None, terminated: threading.Event, tracing: Tracing) -> int:
    """Runs the attempt that a spec describes, as rank 0; returns the exit status."""
    tls, job = Tls.from_environment(), spec.job.removeprefix("jobs/")
    reports = Spool(spool, artifacts_of(spec).seals, tenant_of(spec.job))
    link = ControllerLink(spec.controller_address, job, spec.attempt, reports, tls, spec.worker_pass)
    tokenization = TokenizationClient(spec.tokenization_address, tls=tls)
    # An attempt that was replaced must not go on for a moment longer than it takes to notice.
    threading.Thread(target=_exit_when_fenced, args=(link,), daemon=True).start()

    def command() -> Command:
        return max(link.command, Command.STOP if terminated.is_set() else Command.GO)

    ranks = None
    try:
        ranks = _run(spec, tokenization, link.send, command, tracing)
    except Exception as exc:  # noqa: BLE001, whatever it is, the job must hear of it
        link.send(last_word(exc))
    heard = all_heard(link, terminated)
    if ranks:
        ranks.end_together()
    link.close()
    tokenization.close()
    return 0 if heard else 1


def all_heard(link: ControllerLink, terminated: threading.Event) -> bool:
    """Waits until every report was heard, however long the controller is away; returns whether that is so.

    A machine that shuts down does not wait for a controller that may be gone already: once it has said so, for seconds.
    """
    while not terminated.is_set() and not link.fenced.is_set():
        if link.drain(LOOK_SECONDS):
            return True
    return link.drain(STOP_SECONDS)


def follow(spec: worker_pb2.WorkerSpec, tracing: Tracing) -> int:
    """Does the same steps as rank 0, which speaks for all; returns the exit status."""
    tokenization = TokenizationClient(spec.tokenization_address, tls=Tls.from_environment())
    try:
        _run(spec, tokenization, lambda report: None, lambda: Command.GO, tracing).end_together()
    except Exception as exc:  # noqa: BLE001, rank 0 reports what it sees of it
        get_logger().error("this rank has failed", rank=os.environ["RANK"], exc_info=exc)
        # The exchange with the others would wait for this rank if it went quietly.
        os._exit(1)
    tokenization.close()
    return 0


def _run(
    spec: worker_pb2.WorkerSpec,
    tokenization: TokenizationClient,
    send: Callable[[Report], None],
    command: Callable[[], Command],
    tracing: Tracing,
) -> "Ranks":
    with tracing.root("attempt", {"symbiont.job": spec.job, "symbiont.attempt": spec.attempt}, spec.trace.traceparent):
        # This loads torch: the controller has heard of this process by then.
        from symbiont.training.worker.attempt import run_attempt
        from symbiont.training.worker.ranks import join

        ranks = join()
        artifacts = artifacts_of(spec)
        run_attempt(attempt_from_proto(spec), artifacts, tokenization.tokenize, send, command, ranks)
        return ranks


def artifacts_of(spec: worker_pb2.WorkerSpec) -> ArtifactStore:
    """Returns where a job reads, and stores for its tenant."""
    return ArtifactStore(spec.artifact_root, tenant=tenant_of(spec.job), trust=trust_of_environment())


def attempt_from_proto(spec: worker_pb2.WorkerSpec) -> Attempt:
    """What the attempt is asked to do."""
    return Attempt(
        spec.job.removeprefix("jobs/"),
        spec_from_proto(spec.spec),
        inputs_from_proto(spec),
        spec.checkpoint_digest,
        spec.best_checkpoint_digest,
        spec.best_evaluation_loss if spec.HasField("best_evaluation_loss") else None,
        spec.micro_batches,
        spec.finish,
        spec.reproduced_job.removeprefix("jobs/"),
    )


def last_word(error: Exception) -> Failure | Stopped:
    """Returns what the controller is told of the exception that ended an attempt."""
    match error:
        case StopRequested():
            return Stopped()
        case Diverged() | Unusable():
            return Failure(FailureKind.CONFIG, str(error))
        case InvalidArgument():
            return Failure(FailureKind.DATA, str(error))
        case SymbiontError() | RankLost():
            return Failure(FailureKind.INFRA, str(error))
        case OSError() if error.errno in PASSING:
            return Failure(FailureKind.INFRA, f"{error.strerror}: make room, or wait until the disk is back")
    if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
        return Failure(FailureKind.OOM, "out of memory: lower batch_size or max_tokens")
    get_logger().error("the attempt failed", exc_info=error)
    return Failure(FailureKind.CODE, f"{type(error).__name__}; the worker's log has the trace")


def _exit_when_fenced(link: ControllerLink) -> None:
    link.fenced.wait()
    get_logger().warning("another attempt has taken over, exiting")
    os._exit(1)


if __name__ == "__main__":
    main()
