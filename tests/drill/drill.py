"""One training after another, each with a fault: it must end as if nothing had happened.

`make drill` runs this in full: python -m drill --runs 30 --seed 0
"""

import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from drill import faults
from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import training_job_pb2
from symbiont.client import Client, Endpoints, Limits
from symbiont.training.fork_server import SINGLE, ForkServer

TESTS = Path(__file__).parents[1]
# Of a run.
EPOCHS = 24
# Faults inside a process, with about how often its point is passed in a run: where to draw a moment from.
POINTS = {
    "worker-checkpoint-half": 12,
    "worker-checkpoint-stored": 12,
    "worker-report-spooled": 18,
    "worker-disk-full": 12,
    "controller-event-written": 20,
    "controller-committed": 30,
    "controller-intent-committed": 1,
    "controller-launched": 1,
}
KILLS = ("worker", "controller", "both")
# Each of them once, then what is drawn.
FAULTS = ("both", "worker-checkpoint-stored", "controller-event-written", "worker", "controller", *POINTS)
SECONDS = 180


class DrilledController(ServiceProcess):
    """The training service with the points of `drill.controller`."""

    def __init__(self, name: str, folder: Path, **settings: object) -> None:
        super().__init__(name, folder, **settings)
        self.see(TESTS)
        self._command = [sys.executable, "-m", "drill.controller"]


@dataclass
class Outcome:
    """What became of a run; `problems` is empty where nothing was lost."""

    fault: str
    moment: str
    attempts: int = 0
    events: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "; ".join(self.problems) or "same weights, no gap"
        return (
            f"{self.fault:28} {self.moment:34} attempts {self.attempts}  events {self.events:4}  "
            f"{self.seconds:5.1f} s  {verdict}"
        )


class Drill:
    """A suite in which things die."""

    def __init__(self, folder: Path, seed: int, epochs: int = EPOCHS) -> None:
        self.hyper = training_job_pb2.Hyperparameters(
            epochs=epochs, batch_size=4, checkpoint_interval=20, learning_rate=0.01
        )
        self.random = random.Random(seed)
        self.plan = folder / "plan"
        self.fork_server = ForkServer(f"symbiont-drill-{uuid.uuid4().hex}")
        self.suite = Suite(folder, DrilledController, fork_server=self.fork_server.name, drill_plan=self.plan)
        self.client = Client(Endpoints(training=self.suite.training.address), Limits(patience=60))
        self.count = 0
        self.reference = ""
        # Of a whole run, and of its steps alone, in seconds.
        self.duration = self.training = 0.0

    def start(self, undisturbed: int = 2) -> None:
        """Starts everything and trains a few times undisturbed."""
        self.forking = subprocess.Popen(
            [sys.executable, "-m", "drill.worker", self.fork_server.name],
            stdin=subprocess.PIPE,
            env={**os.environ, **SINGLE, "PYTHONPATH": str(TESTS)},
        )
        until_sync(self.fork_server.ready, 60)
        self.suite.tokenization.start()
        self.suite.training.start()
        self.suite.register(save_base(self.suite.folder / "tiny"))
        self.suite.upload("rows", csv_of(labelled_rows(64)))
        # The first makes the graph of the base too, and takes longer than any other.
        digests = set()
        for _ in range(undisturbed):
            began = time.monotonic()
            job = self._submit()
            assert self.suite.states(job)[-1] == "SUCCEEDED", self.suite.get(job).failure
            self.duration = time.monotonic() - began
            digests.add(self.suite.weights_digest(job))
            steps = [e for e in self.suite.events(job) if e.WhichOneof("event") == "progress"]
            self.training = (steps[-1].time.ToNanoseconds() - steps[0].time.ToNanoseconds()) / 1e9
        (self.reference,) = digests

    def stop(self) -> None:
        """Stops everything."""
        self.client.close()
        self.suite.channel.close()
        for service in (self.suite.training, self.suite.tokenization):
            service.stop()
        with self.forking:
            self.forking.terminate()

    def run(self, fault: str) -> Outcome:
        """Trains while a fault happens, and looks at what came of it."""
        began = time.monotonic()
        self.plan.with_suffix(".done").unlink(missing_ok=True)
        if fault in POINTS:
            after = self.random.randrange(POINTS[fault])
            moment = f"the {after + 1}. time it gets there"
            faults.plan(self.plan, fault, after)
        seen: list[training_job_pb2.TrainingEvent] = []
        with self._kept_alive():
            job = self._submit()
            watcher = threading.Thread(target=self._watch, args=(job, seen), daemon=True)
            watcher.start()
            if fault in KILLS:
                moment = self._kill(job, fault)
            watcher.join(SECONDS)
        outcome = Outcome(fault, moment, seconds=time.monotonic() - began)
        if watcher.is_alive():
            outcome.problems.append(f"it has not ended within {SECONDS} s")
        self._examine(job, seen, outcome)
        if fault in POINTS and not self.plan.with_suffix(".done").exists():
            self.plan.unlink(missing_ok=True)
            outcome.problems.append("the fault did not happen")
        return outcome

    def _submit(self) -> str:
        self.count += 1
        # A caller whose answer is lost asks again, and gets the same job.
        return self.client.create_training_job(
            self.suite.spec(model=f"models/run-{self.count}", hyperparameters=self.hyper)
        ).name

    def _watch(self, job: str, seen: list[training_job_pb2.TrainingEvent]) -> None:
        """Follows a job as a user does, over every restart of the controller."""
        seen.extend(self.client.watch_training_job(job))

    @contextmanager
    def _kept_alive(self) -> Iterator[None]:
        """Starts the controller again whenever it dies, as a supervisor does."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(0.05):
                if self.suite.training.process.poll() is not None:
                    self.suite.training.start()

        keeper = threading.Thread(target=keep)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            # What was killed after the job had ended is up again before anybody asks it.
            if self.suite.training.process.poll() is not None:
                self.suite.training.start()

    def _kill(self, job: str, whom: str) -> str:
        """Kills from outside, at a random moment of the run."""
        if self.random.random() < 0.7:
            until_sync(lambda: self._progress(job) > 0, 60)
            began, delay = "after its first step", self.random.uniform(0, self.training)
        else:
            began, delay = "after it was submitted", self.random.uniform(0, 0.8 * self.duration)
        time.sleep(delay)
        controller = self.suite.training.process
        if whom in ("controller", "both"):
            controller.kill()
        if whom in ("worker", "both"):
            for process in self._workers(job):
                process.kill()
        if whom in ("controller", "both"):
            # Whether it is to be started again is seen once it is gone.
            controller.wait()
        return f"{delay:4.1f} s {began}"

    def _progress(self, job: str) -> int:
        found = self.client.get_training_job(job)
        return found.progress.step or int(found.state in (7, 8, 9))

    def _workers(self, job: str) -> list[psutil.Process]:
        """Returns the worker processes of a job, by their command lines."""
        part = f"/{job.removeprefix('jobs/')}/attempt-"
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            if "--spec" in command and part in command:
                found.append(process)
        return found

    def _examine(self, job: str, seen: list[Any], outcome: Outcome) -> None:
        events, found = list(self.client.list_training_events(job)), self.client.get_training_job(job)
        outcome.attempts, outcome.events = found.attempt, len(events)
        outcome.problems += problems_of(events)
        if found.state != training_job_pb2.JOB_STATE_SUCCEEDED:
            outcome.problems.append(
                f"it ended as {training_job_pb2.JobState.Name(found.state)}: {found.failure.message}"
            )
        elif (digest := self.suite.weights_digest(job)) != self.reference:
            outcome.problems.append(f"its weights are {digest[:12]}, not {self.reference[:12]}")
        if [e.event_id for e in seen] != [e.event_id for e in events]:
            outcome.problems.append("the watcher saw other events than there are")
        if found.model_version and len(list(self.client.list_model_versions(found.spec.model))) != 1:
            outcome.problems.append("it made more than one version")
        deadline = time.monotonic() + 30
        while self._workers(job) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left := self._workers(job):
            outcome.problems.append(f"{len(left)} of its workers still run")


def problems_of(events: list[training_job_pb2.TrainingEvent]) -> list[str]:
    """Says what is wrong with the events of a job."""
    problems = []
    if [e.event_id for e in events] != list(range(1, len(events) + 1)):
        problems.append("event ids have a gap or a duplicate")
    current = 0
    for event in events:
        change = event.state_change
        if event.WhichOneof("event") == "state_change" and change.new_state == training_job_pb2.JOB_STATE_STARTING:
            if event.attempt != current + 1:
                problems.append(f"attempt {event.attempt} came after attempt {current}")
            current = event.attempt
        elif event.WhichOneof("event") == "checkpoint_saved" and event.attempt != current:
            problems.append(f"a checkpoint of attempt {event.attempt} was taken in attempt {current}")
    return problems


def main(runs: int, seed: int, folder: Path) -> int:
    """Runs the drill and prints a line for each run; returns the exit status."""
    drill = Drill(folder, seed)
    drill.start()
    print(f"undisturbed: weights {drill.reference[:16]}, {drill.duration:.1f} s", flush=True)
    failed = 0
    try:
        for number in range(runs):
            fault = FAULTS[number] if number < len(FAULTS) else drill.random.choice([*KILLS, *KILLS, *POINTS])
            outcome = drill.run(fault)
            failed += bool(outcome.problems)
            print(f"{number + 1:3}  {outcome}", flush=True)
    finally:
        drill.stop()
    print(f"{runs - failed} of {runs} runs ended as if nothing had happened (seed {seed})")
    return 1 if failed else 0
