"""`python -m symbiont.training.planning --spec FILE`: tries a job out, says what it would take, and exits.

FILE has the JSON form of WorkerSpec. Says on stdout, a JSON object a line, the `stage` that begins, and at the end the
`plan` or the `error`. A process of its own, because its time and memory are to be those of a worker, and because it
ends with whoever asked for it.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
from google.protobuf import json_format
from pydantic import TypeAdapter

from symbiont.api.training.v1 import worker_pb2
from symbiont.common.artifacts import take_over
from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.common.security.files import Tls
from symbiont.training.planning.clients import SampleClient
from symbiont.training.planning.types import TrainingPlan
from symbiont.training.types import Failure, PlanStage
from symbiont.training.worker.__main__ import artifacts_of, attempt_from_proto, last_word

# Of the scheduler's weights for a process of normal priority about a third: a job that runs keeps its cores.
BESIDE = 5
# For a tokenization service that is away: a caller waits.
PATIENCE_SECONDS = 20.0


def main() -> None:
    """Tries the job out; the exit status is 0 when there is a plan."""
    parser = argparse.ArgumentParser(prog="symbiont-planning", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="file with the JSON form of WorkerSpec")
    parser.add_argument("--seconds", type=float, default=20.0, help="most time to train for")
    parser.add_argument("--company", type=int, default=0, help="running jobs that leave this one no place")
    asked = parser.parse_args()
    # What was stored for the trial is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if asked.company:
        os.nice(BESIDE)
    # Whatever a library prints goes where the log does.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    spec = json_format.Parse(take_over(asked.spec.read_text()), worker_pb2.WorkerSpec())
    try:
        plan = _plan(spec, asked.seconds, asked.company, lambda stage: say(stage=stage))
    except Unavailable as exc:
        say(away=str(exc))
        sys.exit(1)
    except Exception as exc:  # noqa: BLE001, whatever it is, the caller must hear of it
        say(error=_in_words(exc))
        sys.exit(1)
    say(plan=TypeAdapter(TrainingPlan).dump_python(plan, mode="json"))


def _plan(spec: worker_pb2.WorkerSpec, seconds: float, company: int, say: Any) -> TrainingPlan:
    say(PlanStage.READING)
    # This loads torch, which a worker does at this point, too.
    from symbiont.training.planning.limits import Limits
    from symbiont.training.planning.probe import probe

    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    limits = Limits(train_seconds=seconds, judge_seconds=0.3 * seconds, threads=threads, company=company)
    client = SampleClient(spec.tokenization_address, PATIENCE_SECONDS, Tls.from_environment())
    try:
        artifacts = artifacts_of(spec)
        return probe(attempt_from_proto(spec), artifacts, client, limits, say, psutil.Process().create_time())
    finally:
        client.close()


def _in_words(error: Exception) -> str:
    """Says what went wrong, as a worker would."""
    if isinstance(error, SymbiontError):
        return str(error)
    word = last_word(error)
    return word.message if isinstance(word, Failure) else "it was asked to stop"


if __name__ == "__main__":
    main()
