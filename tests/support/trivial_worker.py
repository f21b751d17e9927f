"""A worker that trains nothing and says so in the real protocol, as fast as a process can.

Reads the spec as the real one does, and leaves a line in the file that SYMBIONT_RUNS names when it got through.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from symbiont.api.training.v1 import training_job_pb2, worker_pb2, worker_pb2_grpc
from symbiont.training.executors.local import MARK_VARIABLE, leave_mark

REFUSED = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)


def messages(job: str, attempt: int) -> list[worker_pb2.WorkerMessage]:
    evaluation = training_job_pb2.Evaluation(row_count=1, accuracy=1, labels=["a", "b"], confusion_matrix=[1, 0, 0, 0])
    said = [
        {"evaluation_started": worker_pb2.EvaluationStarted()},
        {"evaluation": evaluation},
        {"done": worker_pb2.Done(bundle_digest="b" * 64)},
    ]
    return [worker_pb2.WorkerMessage(job=job, attempt=attempt, seq=i, **m) for i, m in enumerate(said, 1)]


def said(job: str, attempt: int) -> Iterator[worker_pb2.WorkerMessage]:
    yield worker_pb2.WorkerMessage(job=job, attempt=attempt, hello=worker_pb2.Hello(pid=os.getpid()))
    yield from messages(job, attempt)
    # The stream stays open for the answers.
    time.sleep(30)


def main() -> int:
    spec = json.loads(Path(sys.argv[sys.argv.index("--spec") + 1]).read_text())
    leave_mark(Path(os.environ[MARK_VARIABLE]))
    job, attempt = spec["job"], spec["attempt"]
    addresses = spec["controller_address"].split(",")
    for turn in range(200):
        channel = grpc.insecure_channel(addresses[turn % len(addresses)])
        call = worker_pb2_grpc.WorkerServiceStub(channel).Report(said(job, attempt))
        try:
            for answer in call:
                if answer.ack.seq == 3:
                    with Path(os.environ["SYMBIONT_RUNS"]).open("a") as runs:
                        runs.write(f"{job} {attempt}\n")
                    return 0
        except grpc.RpcError as exc:
            if exc.code() in REFUSED:
                return 1
        finally:
            call.cancel()
            channel.close()
        time.sleep(0.2)
    return 1


if __name__ == "__main__":
    # What the threads of gRPC still do, nobody waits for.
    status = main()
    sys.stdout.flush()
    os._exit(status)
