"""Tries a job out: reads its rows, loads its base, trains, judges and stores a little of it, and adds up what all of it
would take.

Everything is done by the worker's own code, in a process like a worker's: time and memory are those of a worker.
Training is timed in three goes with other things in between: a machine's speed changes within seconds.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from symbiont.common.artifacts import ArtifactStore
from symbiont.training.heads import head_for
from symbiont.training.planning import remarks, workload
from symbiont.training.planning.advice import advise
from symbiont.training.planning.clients import SampleClient
from symbiont.training.planning.comparing import compare
from symbiont.training.planning.estimating import Part, by_name, total_of
from symbiont.training.planning.limits import Limits
from symbiont.training.planning.material import Material, gather
from symbiont.training.planning.memory import available_memory, estimate_memory, of_memory
from symbiont.training.planning.pace import Pace
from symbiont.training.planning.practice import LARGEST_SECONDS, Practice
from symbiont.training.planning.storing import Storing, scratch_store
from symbiont.training.planning.types import MethodAdvice, TrainingPlan
from symbiont.training.planning.workload import Workload
from symbiont.training.types import PlanStage, Warning
from symbiont.training.worker.attempt import peak_memory_bytes
from symbiont.training.worker.checkpoint import save_checkpoint
from symbiont.training.worker.examples import Example
from symbiont.training.worker.features import features_bytes
from symbiont.training.worker.judging import ROWS_AT_A_TIME, Judge
from symbiont.training.worker.network import Network, build_network, infer
from symbiont.training.worker.storing import make_bundle
from symbiont.training.worker.task import Attempt, Task, width

# Shares of the time for training: the first go has the most to learn.
FIRST, LATER = 0.5, 0.25
Say = Callable[[PlanStage], None]


@dataclass(frozen=True)
class Findings:
    """What a network was found to take: parts of the job, its steps, bytes of memory that were not tried."""

    parts: tuple[Part, ...]
    total_steps: int
    beyond: float
    advice: MethodAdvice


def probe(
    attempt: Attempt, artifacts: ArtifactStore, client: SampleClient, limits: Limits, say: Say, born: float
) -> TrainingPlan:
    """Returns the plan of a job; its cost is for whoever knows the price.

    Args:
        say: told of each stage as it begins, but for the first: reading.
        born: when this process began, in seconds of the epoch.

    Raises:
        SymbiontError: something that the job works on is missing, damaged or away.
    """
    start, available = time.time() - born, available_memory()
    material = gather(attempt, artifacts, client, limits.rows)
    inputs, started = attempt.inputs, time.monotonic()
    # Every byte of the base is checked the first time that it is asked for.
    artifacts.path("bases", inputs.base_digest)
    start += material.read_seconds + time.monotonic() - started
    read = [Part("start", start), Part("tokenize", material.tokenize_seconds)]
    with scratch_store(artifacts, inputs.base_digest, inputs.quantized_digest) as scratch:
        storing = Storing(artifacts, scratch)
        found = _try(attempt, artifacts, material, storing, limits, say)
        # The network is gone by now, as it is when a worker does this.
        gc.collect()
        graph = Part("store", storing.graph(inputs.base_digest))
    parts = [*read, *found.parts, graph]
    memory = estimate_memory(peak_memory_bytes(), material.more_memory, found.beyond)
    short = of_memory(memory, available, attempt.spec.ranks)
    warnings: list[Warning] = [*material.warnings, *([short] if short else [])]
    warnings += remarks.of_ranks(attempt.spec.ranks, limits.threads)
    warnings += remarks.of_company(limits.company)
    return TrainingPlan(
        spec=attempt.spec,
        training_time_seconds=total_of(parts),
        memory_bytes=memory,
        cost=None,
        texts=material.report,
        labels=material.labels,
        advice=found.advice,
        total_steps=found.total_steps,
        seconds_by_part=by_name(parts),
        warnings=tuple(warnings),
    )


def _try(
    attempt: Attempt, artifacts: ArtifactStore, material: Material, storing: Storing, limits: Limits, say: Say
) -> Findings:
    """Does all that takes the network, which is gone when this returns."""
    say(PlanStage.LOADING)
    started = time.monotonic()
    inputs = attempt.inputs
    base_folder = artifacts.path("bases", inputs.base_digest)
    network = build_network(attempt.spec, base_folder, inputs.pooling, material.settings, width(material.fields))
    load = Part("start", time.monotonic() - started)
    say(PlanStage.TRAINING)
    practice = Practice(network, attempt, material.settings, material.kept, limits)
    practice.go(FIRST)
    practice.try_largest()
    practice.restore()
    say(PlanStage.JUDGING)
    seed = attempt.spec.hyperparameters.seed
    judged, compared = compare(network, inputs.pooling, material.kept, material.held, seed, limits.judge_seconds)
    lengths = np.tile(material.held.lengths, network.texts_of_row)
    pace, judging = limits.pace(judged.timed), workload.of_judging(lengths, ROWS_AT_A_TIME)
    _judge_largest(network, judging, pace, width(material.fields))
    practice.go(LATER)
    stored = _store(attempt, network, practice, material, storing)
    practice.go(LATER)
    # What the base takes to see every row once: all that the head alone needs of it.
    seen = workload.of_judging(material.kept.lengths, ROWS_AT_A_TIME).total(pace.seconds)
    times = 1 if network.leaves_base else _evaluations(attempt, practice.steps)
    parts = [load, practice.part(), *stored]
    parts.append(Part("evaluate", times * judging.total(pace.seconds), limits.deviation(pace), shared=True))
    beyond = practice.beyond
    if network.leaves_base:
        parts.append(Part("train", seen, limits.deviation(pace), shared=True))
        beyond += features_bytes(network, len(material.kept.lengths) + len(material.held.lengths))
    row_count, label_count = len(material.kept.lengths), len(material.labels)
    advice = advise(attempt.spec, row_count, label_count, compared, seen)
    return Findings(tuple(parts), practice.steps, beyond, advice)


def _evaluations(attempt: Attempt, steps: int) -> int:
    """Returns how often the held-out rows are judged: at the end, and at each checkpoint where that is asked for."""
    hyper = attempt.spec.hyperparameters
    return 1 + (workload.checkpoints_of(steps, hyper) if hyper.evaluate_checkpoints else 0)


def _judge_largest(network: Network, judging: Workload, pace: Pace, features: int) -> None:
    """Judges the largest batch once, for its memory: those that were timed were of other rows."""
    rows, longest = judging.largest()
    seconds = float(pace.seconds(Workload(np.array([rows]), np.array([longest])))[0])
    tried = max(int(rows * min(LARGEST_SECONDS / max(seconds, 1e-9), 1.0)), 1)
    row = Example(np.ones(longest, np.int64), features=np.zeros(features, np.float32))
    infer(network, [row] * tried, ROWS_AT_A_TIME)


def _store(attempt: Attempt, network: Network, practice: Practice, material: Material, storing: Storing) -> list[Part]:
    """Stores what a worker stores while it has the network."""
    taken = storing.checkpoint(lambda store: save_checkpoint(store, "plan", 0, network, practice.optimizer))
    count = workload.checkpoints_of(practice.steps, attempt.spec.hyperparameters)
    head, _ = head_for(attempt.spec)
    task = Task(head, material.settings, material.fields, material.few, material.few)
    evaluation = Judge(network, attempt, task, material.few.examples).evaluate()
    base, digest = attempt.inputs.base_digest, attempt.inputs.quantized_digest
    seconds, bundle = storing.bundle(lambda: make_bundle(attempt, task, network, evaluation, base))
    if network.has_own_base:
        seconds += storing.base(base, network)
    elif digest:
        seconds += storing.int8(bundle, digest, material.held.material, len(material.held.lengths))
    return [Part("checkpoints", count * taken), Part("store", seconds)]
