"""`python -m symbiont.training.worker --spec FILE --attempt N`: does the work of one attempt and exits."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from google.protobuf import json_format

from symbiont.api.training.v1 import worker_pb2
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, SymbiontError
from symbiont.common.log import configure_logging, get_logger
from symbiont.training.convert import POOLINGS, spec_from_proto
from symbiont.training.executors.local import leave_mark
from symbiont.training.types import Failure, FailureKind, Inputs, Stopped
from symbiont.training.worker.clients import ControllerLink, TokenizationClient
from symbiont.training.worker.errors import Diverged, StopRequested

STOP_SECONDS = 5.0


def main() -> None:
    """Runs the attempt; the exit status is 0 when everything that it has to say was heard."""
    parser = argparse.ArgumentParser(prog="symbiont-worker", description="Does the work of one attempt at a job.")
    parser.add_argument("--spec", type=Path, required=True, help="file with the JSON form of WorkerSpec")
    parser.add_argument("--attempt", type=int, required=True, help="number of the attempt")
    arguments = parser.parse_args()
    leave_mark(arguments.spec.parent)
    configure_logging("info", "json", "worker")
    spec = json_format.Parse(arguments.spec.read_bytes(), worker_pb2.WorkerSpec())
    if spec.attempt != arguments.attempt:
        parser.error(f"--attempt is {arguments.attempt}, the spec is for attempt {spec.attempt}")
    sys.exit(work(spec))


def work(spec: worker_pb2.WorkerSpec) -> int:
    """Runs the attempt that a spec describes; returns the exit status."""
    job = spec.job.removeprefix("jobs/")
    link = ControllerLink(spec.controller_address, job, spec.attempt)
    tokenization = TokenizationClient(spec.tokenization_address)
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    # An attempt that was replaced must not go on for a moment longer than it takes to notice.
    threading.Thread(target=_exit_when_fenced, args=(link,), daemon=True).start()
    pooling = next(name for name, value in POOLINGS.items() if value == spec.pooling)
    inputs = Inputs(
        spec.base_digest,
        spec.tokenizer_digest,
        spec.dataset_digest,
        spec.evaluation_dataset_digest,
        pooling,
        spec.quantized_digest,
    )

    def stop_requested() -> bool:
        return terminated.is_set() or link.cancelled.is_set()

    try:
        # This loads torch: the controller has heard of this process by then.
        from symbiont.training.worker.attempt import Attempt, run_attempt

        attempt = Attempt(job, spec_from_proto(spec.spec), inputs, spec.checkpoint_digest)
        run_attempt(attempt, ArtifactStore(spec.artifact_root), tokenization.tokenize, link.send, stop_requested)
    except Exception as exc:  # noqa: BLE001, whatever it is, the job must hear of it
        link.send(last_word(exc))
    # A machine that shuts down does not wait for a controller that may be gone already.
    heard = link.drain(STOP_SECONDS if terminated.is_set() else None)
    link.close()
    tokenization.close()
    return 0 if heard else 1


def last_word(error: Exception) -> Failure | Stopped:
    """Returns what the controller is told of the exception that ended an attempt."""
    match error:
        case StopRequested():
            return Stopped()
        case Diverged():
            return Failure(FailureKind.CONFIG, str(error))
        case InvalidArgument():
            return Failure(FailureKind.DATA, str(error))
        case SymbiontError():
            return Failure(FailureKind.INFRA, str(error))
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return Failure(FailureKind.OOM, "out of memory: lower batch_size or max_tokens")
    get_logger().error("the attempt failed", exc_info=error)
    return Failure(FailureKind.CODE, f"{type(error).__name__}; the worker's log has the trace")


def _exit_when_fenced(link: ControllerLink) -> None:
    link.fenced.wait()
    get_logger().warning("another attempt has taken over, exiting")
    os._exit(1)


if __name__ == "__main__":
    main()
