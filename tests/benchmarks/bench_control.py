"""What the training control plane costs: creating, launching, telling, recovering, and many jobs.

`python tests/benchmarks/bench_control.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one is
missed. `--small` does the same in a minute, for checking that the benchmark itself still runs. Times of events are
those that the service puts into them: on one machine they share a clock with the caller.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.api.training.v1 import worker_pb2
from symbiont.training import types
from symbiont.training.fork_server import ForkServer
from symbiont.training.spec import Hyperparameters, parse_spec
from symbiont.training.store import Places, Store
from symbiont.training.types import JobState, WorkerReport
from symbiont.training.worker.clients import HEARTBEAT_SECONDS

LONG = pb.Hyperparameters(epochs=1000, batch_size=4, checkpoint_interval=20)


@dataclass(frozen=True)
class Bar:
    """A promise: a measure at most `limit`."""

    name: str
    measure: str
    limit: float
    unit: str


BARS = (
    Bar("creating a job, p99", "create p99", 100, "ms"),
    Bar("from created to the worker's first word", "first word", 2.0, "s"),
    Bar("event of a job to its 2,000 watchers, p99", "watch one p99", 100, "ms"),
    Bar("events of 200 jobs to their 2,000 watchers, p99", "watch many p99", 100, "ms"),
    Bar("reporting, share of a step's CPU", "reporting", 1.0, "%"),
    Bar("SIGKILL of a worker to the next one's first step", "worker back", 5.0, "s"),
    Bar("SIGKILL of the controller to the next event on record", "controller back", 5.0, "s"),
    Bar("a look of the scheduler with 10,000 jobs in the table", "scan", 10, "ms"),
)


@dataclass
class Measures:
    """What was found: every value of a measure, and how it is to be summed up."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, *values: float) -> None:
        self.values.setdefault(name, []).extend(values)

    def of(self, name: str) -> float:
        """Returns the 99th percentile where the name says so, else the median."""
        found = self.values.get(name, [])
        if not found:
            return float("nan")
        return float(np.percentile(found, 99)) if name.endswith("p99") else median(found)


def seconds_of(event: pb.TrainingEvent) -> float:
    return event.time.ToNanoseconds() / 1e9


def first(suite: Suite, job: str, wanted: Callable[[pb.TrainingEvent], bool]) -> pb.TrainingEvent:
    """Waits for the first event of that kind."""
    return next(event for event in suite.watch(job) if wanted(event))


def is_state(event: pb.TrainingEvent, state: "pb.JobState.ValueType", attempt: int = 1) -> bool:
    return event.state_change.new_state == state and event.attempt == attempt


def creating(suite: Suite, measures: Measures, count: int) -> None:
    """One caller after another, then eight at a time; the jobs are cancelled at once."""
    suite.create(model="models/warm")

    def create(number: int) -> float:
        began = time.perf_counter()
        suite.create(f"bench-{time.time_ns()}-{number}", model="models/bench")
        return 1e3 * (time.perf_counter() - began)

    measures.add("create p99", *(create(i) for i in range(count)))
    with ThreadPoolExecutor(8) as pool:
        measures.add("create, 8 callers p99", *pool.map(create, range(count)))
    for job in open_jobs(suite):
        try:
            suite.jobs.CancelTrainingJob(pb.CancelTrainingJobRequest(name=job.name))
        except grpc.RpcError as exc:
            # Those that have a worker may have been ended by it.
            if exc.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
    until_sync(lambda: not open_jobs(suite), 120)


def open_jobs(suite: Suite) -> list[pb.TrainingJob]:
    states = [pb.JobState.Value(f"JOB_STATE_{state}") for state in JobState if not state.ended]
    return list(suite.jobs.ListTrainingJobs(pb.ListTrainingJobsRequest(states=states, page_size=1000)).training_jobs)


def starting_and_recovering(suite: Suite, measures: Measures, rounds: int) -> None:
    """A real worker is launched, killed, and launched again; then the controller is killed under it, and then both."""
    for _ in range(rounds):
        if rounds > 1:
            wait_for_fork_server(suite)
        job = suite.create(hyperparameters=LONG, model="models/bench")
        created = job.create_time.ToNanoseconds() / 1e9
        spoke = first(suite, job.name, lambda e: is_state(e, pb.JOB_STATE_RUNNING))
        measures.add("first word", seconds_of(spoke) - created)
        measures.add("first step", first_step(suite, job.name, 1) - created)
        killed = time.time()
        suite.worker(job.name, 1).kill()
        back = first(suite, job.name, lambda e: is_state(e, pb.JOB_STATE_RUNNING, 2))
        measures.add("worker back, first word", seconds_of(back) - killed)
        measures.add("worker back", first_step(suite, job.name, 2) - killed)
        killed = time.time()
        suite.training.kill()
        suite.training.start()
        after = first(suite, job.name, lambda e, killed=killed: seconds_of(e) > killed)
        measures.add("controller back", seconds_of(after) - killed)
        # Nothing is there to fork from, unless in small: the next worker loads torch.
        worker = suite.worker(job.name, 2)
        killed = time.time()
        suite.training.kill()
        worker.kill()
        suite.training.start()
        measures.add("both back, first step", first_step(suite, job.name, 3) - killed)
        suite.jobs.CancelTrainingJob(pb.CancelTrainingJobRequest(name=job.name))
        until_sync(lambda: not open_jobs(suite), 60)


def wait_for_fork_server(suite: Suite) -> None:
    """Waits until workers can be forked, as they can be from some seconds after the start of the service on."""
    children = psutil.Process(suite.training.process.pid).children()
    (process,) = [child for child in children if "symbiont.training.fork_server" in child.cmdline()]
    until_sync(ForkServer(process.cmdline()[-1]).ready, 60)


def first_step(suite: Suite, job: str, attempt: int) -> float:
    """Returns when the first step of an attempt was done."""
    made = first(suite, job, lambda e: e.attempt == attempt and e.WhichOneof("event") == "progress")
    return seconds_of(made)


WATCHERS = """
import asyncio, sys, time
import grpc
from symbiont.api.training.v1 import training_job_pb2 as pb, training_job_pb2_grpc
address, each, jobs = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
late = []
async def main():
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(20)]
    ready = asyncio.Semaphore(0)
    async def watch(number):
        stub = training_job_pb2_grpc.TrainingJobServiceStub(channels[number % len(channels)])
        request = pb.WatchTrainingJobRequest(name=jobs[number % len(jobs)])
        told = False
        async for event in stub.WatchTrainingJob(request):
            now = time.time()
            if event.WhichOneof("event") == "log_line" and event.log_line.text == "timed":
                late.append(1e3 * (now - event.time.ToNanoseconds() / 1e9))
            elif event.WhichOneof("event") == "log_line" and event.log_line.text == "over":
                return
            elif not told:
                told = True
                ready.release()
    tasks = [asyncio.create_task(watch(i)) for i in range(each)]
    everyone = asyncio.gather(*tasks)
    for _ in range(each):
        waiting = asyncio.ensure_future(ready.acquire())
        await asyncio.wait([waiting, everyone], return_when=asyncio.FIRST_COMPLETED)
        if everyone.done():
            break
    else:
        print("ready", flush=True)
    await everyone
    print(*late, flush=True)
asyncio.run(main())
"""


class Speaker:
    """A worker of a job that says what it is told to say."""

    def __init__(self, suite: Suite, job: str) -> None:
        self._job, self._seq = job, 0
        self._said: list[Any] = []
        self._changed = threading.Condition()
        self._acked = 0
        self.call = suite.workers.Report(self._messages(), wait_for_ready=True)
        threading.Thread(target=self._read, daemon=True).start()
        self._put(hello=worker_pb2.Hello(pid=os.getpid(), instance=job), numbered=False)

    def say(self, text: str) -> None:
        """Says a line, and waits until it is stored."""
        self._put(log_line=pb.LogLine(text=text))
        with self._changed:
            self._changed.wait_for(lambda: self._acked >= self._seq, 30)

    def _put(self, *, numbered: bool = True, **message: Any) -> None:
        with self._changed:
            self._seq += numbered
            seq = self._seq if numbered else 0
            self._said.append(worker_pb2.WorkerMessage(job=self._job, attempt=1, seq=seq, **message))
            self._changed.notify_all()

    def _messages(self) -> Iterator[worker_pb2.WorkerMessage]:
        sent = 0
        while True:
            with self._changed:
                patience = random.uniform(*HEARTBEAT_SECONDS)
                self._changed.wait_for(lambda sent=sent: len(self._said) > sent, patience)
                new, sent = self._said[sent:], len(self._said)
            yield from new or [worker_pb2.WorkerMessage(job=self._job, attempt=1, heartbeat=worker_pb2.Heartbeat())]

    def _read(self) -> None:
        try:
            for answer in self.call:
                with self._changed:
                    self._acked = max(self._acked, answer.ack.seq)
                    self._changed.notify_all()
        except grpc.RpcError:
            return


def watching(
    folder: Path, measures: Measures, watchers: int, jobs: int, events: int, name: str, settle: float = 10
) -> None:
    """Watchers in two processes; workers that do nothing but speak; how late each watcher hears each event."""
    idle = f"{sys.executable} -c 'import time; time.sleep(3600)'"
    suite = Suite(folder, worker_program=idle, max_concurrent_jobs=jobs, start_timeout_seconds=600, drain_seconds=1)
    suite.tokenization.start()
    suite.training.start()
    callers: list[subprocess.Popen[str]] = []
    try:
        suite.register(save_base(folder / "tiny"))
        suite.upload("rows", csv_of(labelled_rows(40)))
        names = [suite.create(model="models/bench").name for _ in range(jobs)]
        until_sync(lambda: all(suite.get(job).state == pb.JOB_STATE_STARTING for job in names), 120)
        speakers = [Speaker(suite, job) for job in names]
        command = [sys.executable, "-c", WATCHERS, suite.training.address, str(watchers // 2), ",".join(names)]
        callers += [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for caller in callers:
            assert caller.stdout is not None
            assert caller.stdout.readline() == "ready\n"
        # Workers that began together beat together at first, which they do not for long.
        time.sleep(settle)
        for number in range(events):
            speakers[number % jobs].say("timed")
            time.sleep(0.25)
        for speaker in speakers:
            speaker.say("over")
        for caller in callers:
            out, _ = caller.communicate(timeout=60)
            measures.add(name, *map(float, out.split()))
        for speaker in speakers:
            speaker.call.cancel()
    finally:
        for caller in callers:
            caller.kill()
        suite.channel.close()
        suite.training.kill()
        suite.tokenization.stop()
        end_workers(folder)


def end_workers(folder: Path) -> None:
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in part for part in process.info["cmdline"] or []):
            process.kill()


def reporting(measures: Measures, rounds: int, epochs: int) -> None:
    """CPU of what reports, in the training's thread and in its own, as a share of the CPU of the training loop.

    Two runs with and without differ by more than that from one to the next.
    """
    from symbiont.training.heads import head_for
    from symbiont.training.worker.clients import ControllerLink
    from symbiont.training.worker.commands import Command
    from symbiont.training.worker.loop import Loop
    from symbiont.training.worker.network import build_network

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        base = save_base(Path(name) / "tiny")
        values: dict[str, Any] = {"base_model": "bases/x", "dataset": "datasets/x", "model": "models/x"}
        spec = parse_spec(
            {**values, "classification": {"labels": ["a", "b"]}, "lora": {"target_modules": ["query"]}}, "s"
        )
        spec = spec.model_copy(update={"lora": spec.lora and spec.lora.model_copy(update={"alpha": 8.0})})
        rows = [np.arange(5, 5 + 8 + i % 20) % 400 for i in range(256)]
        head, settings = head_for(spec)
        hyper = Hyperparameters(epochs=epochs, batch_size=8, checkpoint_interval=10**6)
        targets = torch.tensor([i % 2 for i in range(256)])
        for _ in range(rounds):
            link = ControllerLink("127.0.0.1:1", "job-x", 1)
            sending = 0.0

            def send(report: Any, link: ControllerLink = link) -> None:
                nonlocal sending
                began = time.thread_time()
                link.send(report)
                sending += time.thread_time() - began

            network = build_network(spec, base, "mean")
            criterion = head.criterion(settings, targets)
            loop = Loop(network, criterion, rows, targets, hyper, send, lambda step: None, lambda: Command.GO)
            began, other = time.process_time(), others_cpu()
            try:
                loop.run()
                measures.add("reporting", 100 * (sending + others_cpu() - other) / (time.process_time() - began))
            finally:
                link.close()


def others_cpu() -> float:
    """Returns the CPU seconds of all threads but this one, to a hundredth."""
    mine = threading.get_native_id()
    return sum(t.user_time + t.system_time for t in psutil.Process().threads() if t.id != mine)


def many_jobs(measures: Measures, count: int, rounds: int, settle: float) -> None:
    """What the scheduler asks the store at each look, and what the service takes, with so many jobs in the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/symbiont.db"
        fill(url, count)
        store = Store(url)

        def look() -> None:
            store.adopt("me", 60)
            store.in_state(JobState.VALIDATING)
            store.active()
            store.past_deadline()
            # A place is free, and the tenant of all that wait has no more of them: every job is looked at.
            assert store.claim("me", 60, Places(9, 8)) is None

        for _ in range(rounds):
            began = time.perf_counter()
            look()
            measures.add("scan", 1e3 * (time.perf_counter() - began))
        store.close()
        suite = Suite(folder, worker_program="true", max_concurrent_jobs=1)
        suite.training.start()
        time.sleep(settle)
        measures.add("memory with many jobs", psutil.Process(suite.training.process.pid).memory_info().rss / 2**20)
        suite.channel.close()
        suite.training.kill()


def fill(url: str, count: int) -> None:
    """Fills a store with queued jobs of a tenant whose places are taken."""
    store = Store(url)
    values = {"base_model": "bases/x", "dataset": "datasets/x", "model": "models/x", "lora": {"alpha": 8.0}}
    spec = parse_spec(values, "s")
    inputs = types.Inputs("a" * 64, "b" * 64, "c" * 64, "", "mean")
    for number in range(count):
        job, _ = store.add_job(spec, inputs, "", "d", types.Terms("busy", number % 10))
        store.validated(job.id, None)
        if number < 8:
            store.begin_attempt(job.id, "me", 3600)
            store.take(WorkerReport(job.id, 1, 0, types.Hello(1)))
    store.close()


def main() -> int:
    """Measures, prints, judges; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a minute, and no judgement")
    small = parser.parse_args().small
    measures = Measures()
    watchers, jobs = (20, 3) if small else (2000, 200)
    with tempfile.TemporaryDirectory(prefix="symbiont-bench-") as name:
        # In small, the fork server of all tests: loading one takes longer than the rest.
        suite = Suite(Path(name), **({} if small else {"warm_workers": True}))
        suite.tokenization.start()
        suite.training.start()
        suite.register(save_base(Path(name) / "tiny"))
        suite.upload("rows", csv_of(labelled_rows(64)))
        creating(suite, measures, 10 if small else 300)
        starting_and_recovering(suite, measures, 1 if small else 5)
        suite.channel.close()
        suite.training.stop()
        suite.tokenization.stop()
    for many, title in ((1, "watch one p99"), (jobs, "watch many p99")):
        with tempfile.TemporaryDirectory(prefix="symbiont-bench-") as name:
            watching(Path(name), measures, watchers, many, 4 if small else 40, title, 0 if small else 10)
    reporting(measures, *((1, 2) if small else (7, 8)))
    many_jobs(measures, *((50, 2, 0) if small else (10_000, 100, 3)))
    return judge(measures, small)


def judge(measures: Measures, small: bool) -> int:
    console = Console(width=120)
    table = Table("measure", "median", "p99", "highest", "values")
    for name, found in measures.values.items():
        p99 = float(np.percentile(found, 99))
        table.add_row(name, f"{median(found):.2f}", f"{p99:.2f}", f"{max(found):.2f}", str(len(found)))
    console.print(table)
    missed = 0
    for bar in BARS:
        value = measures.of(bar.measure)
        held = value <= bar.limit
        missed += not held
        print(f"{'held' if held else 'missed'}: {bar.name}: {value:.2f} {bar.unit}, at most {bar.limit:g}")
    return 0 if small else int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
