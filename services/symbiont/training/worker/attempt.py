"""One attempt at a job, from the dataset to the stored bundle."""

import gc
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from symbiont.bundle import Bundle, write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound
from symbiont.training.heads import Rule
from symbiont.training.types import (
    CheckpointSaved,
    Done,
    Evaluation,
    EvaluationStarted,
    LogLine,
    Metrics,
    Progress,
    Report,
    Warning,
)
from symbiont.training.worker.calibrating import calibrate, in_words
from symbiont.training.worker.checkpoint import KIND as CHECKPOINTS
from symbiont.training.worker.checkpoint import load_checkpoint, save_checkpoint
from symbiont.training.worker.commands import Command
from symbiont.training.worker.examples import Tokenize
from symbiont.training.worker.features import features
from symbiont.training.worker.judging import Judge
from symbiont.training.worker.loop import Loop
from symbiont.training.worker.network import Join, Network, OnFeatures, build_network, pad, stack
from symbiont.training.worker.own_module import export
from symbiont.training.worker.ranks import Ranks
from symbiont.training.worker.signs import Signs, of_rows
from symbiont.training.worker.storing import leave_graph, make_bundle, store_base, with_int8
from symbiont.training.worker.task import Attempt, Task, make_task, read_texts, width

__all__ = ["Attempt", "run_attempt"]

Send = Callable[[Report], None]


def run_attempt(
    attempt: Attempt,
    artifacts: ArtifactStore,
    tokenize: Tokenize,
    send: Send,
    command: Callable[[], Command],
    ranks: Ranks | None = None,
) -> None:
    """Trains, evaluates, and stores the bundle.

    Args:
        send: takes reports, which reach the controller sooner or later.
        command: asked at every step.
        ranks: those that train together; every one but rank 0 returns when the training is over.

    Raises:
        StopRequested: it was asked to stop.
        Diverged, RankLost: the training cannot go on.
    """
    bundle = _Run(attempt, artifacts, tokenize, send, command, ranks or Ranks()).bundle()
    if bundle is None:
        return
    # The network is gone by now, but for what holds itself in circles: a worker that is killed here for its memory
    # would lose the training.
    gc.collect()
    base_digest = bundle.manifest.base_digest
    leave_graph(artifacts, base_digest, send)
    send(Done(_store(artifacts, bundle), base_digest))


@dataclass
class _Run:
    """The parts of one attempt, and the order in which they are done."""

    attempt: Attempt
    artifacts: ArtifactStore
    tokenize: Tokenize
    send: Send
    command: Callable[[], Command]
    ranks: Ranks
    # Set when training on is of no use.
    enough: bool = False

    def bundle(self) -> Bundle | None:
        attempt, inputs = self.attempt, self.attempt.inputs
        kept, held = read_texts(self.artifacts, attempt.spec, inputs)
        self.send(LogLine(f"{len(kept.rows)} rows to learn from, {len(held.rows)} held out"))
        task = make_task(attempt, self.tokenize, kept.rows, held.rows)
        for warning in of_rows(task.kept, attempt.max_tokens):
            self.send(warning)
        base_folder = self.artifacts.path("bases", inputs.base_digest)
        network = build_network(attempt.spec, base_folder, inputs.pooling, task.settings, width(task.fields))
        self.send(LogLine(_size(network)))
        if attempt.spec.own_module:
            # What cannot be served is not worth training.
            export(network.head, attempt.spec.own_module.name)
        seen = self._see(network, task)
        judge = Judge(seen.network, attempt, task, seen.held, seen.join)
        loop = self._loop(seen, task, judge)
        self._train(network, loop, judge)
        if not self.ranks.leads:
            return None
        self.send(EvaluationStarted())
        evaluation, rule = self._calibrated(judge, task)
        self.send(evaluation)
        self.send(Metrics(loop.total_steps, (("peak_memory_bytes", peak_memory_bytes()),)))
        base_digest = inputs.base_digest
        if network.has_own_base:
            base_digest = store_base(self.artifacts, base_digest, network)
            self.send(LogLine(f"the model has a base of its own: {base_digest[:12]}"))
        bundle = make_bundle(attempt, task, network, evaluation, base_digest, rule)
        if inputs.quantized_digest and base_digest == inputs.base_digest:
            bundle = with_int8(bundle, self.artifacts, inputs.quantized_digest, task.held, self.send)
        return bundle

    def _calibrated(self, judge: Judge, task: Task) -> tuple[Evaluation, Rule]:
        """Judges the network by what it will answer; returns its quality, and what makes answers of its outputs."""
        evaluation = judge.evaluate()
        groups = [row.group for row in task.held.rows]
        found = calibrate(task.head, task.settings, judge.outputs, task.held.targets, groups)
        if found is None:
            return evaluation, Rule()
        evaluation = task.head.evaluate(task.settings, judge.outputs, task.held, found.decided)
        self.send(LogLine(in_words(found)))
        more = {"calibration_error": found.error_after, "uncalibrated_error": found.error_before}
        metrics = tuple(sorted({**dict(evaluation.metrics), **more}.items()))
        return replace(evaluation, metrics=metrics), found.rule

    def _see(self, network: Network, task: Task) -> "_Seen":
        """Returns what is trained, and what it sees of the rows: where the base is left as it is, what that gives."""
        rows, held = task.kept.examples, task.held.examples
        if not network.leaves_base:
            return _Seen(network, rows, held, pad)
        made = features(network, [*rows, *held], self.send, self.command)
        return _Seen(OnFeatures(network), made[: len(rows)], made[len(rows) :], stack)

    def _loop(self, seen: "_Seen", task: Task, judge: Judge) -> Loop:
        network, targets = seen.network, task.kept.targets
        attempt, signs = self.attempt, Signs()

        def report(progress: Progress) -> None:
            self.send(progress)
            for warning in signs.of_progress(progress):
                self.send(warning)

        def checkpoint(step: int) -> None:
            if not self.ranks.leads:
                return
            digest = save_checkpoint(self.artifacts, attempt.job, step, network, loop.optimizer)
            loss = None
            if attempt.spec.hyperparameters.evaluate_checkpoints:
                loss = judge.judge(digest)
                self.send(judge.metrics(step))
                for warning in signs.of_judgement(loss):
                    self.send(warning)
            self.send(CheckpointSaved(step, digest, loss))
            self.enough = self.enough or self._is_enough(step, judge)

        loop = Loop(
            network,
            task.head.criterion(task.settings, targets),
            seen.rows,
            targets,
            attempt.spec.hyperparameters,
            report,
            checkpoint,
            lambda: self.command() or (Command.FINISH if self.enough else Command.GO),
            micro_batches=attempt.micro_batches,
            ranks=self.ranks,
            join=seen.join,
            lengths=[len(example) for example in task.kept.examples],
        )
        return loop

    def _is_enough(self, step: int, judge: Judge) -> bool:
        """Says whether no checkpoint has been better for as long as the spec's patience."""
        hyper = self.attempt.spec.hyperparameters
        if hyper.patience is None or not judge.best_digest:
            return False
        best = int(self.artifacts.manifest(CHECKPOINTS, judge.best_digest)["step"])
        waited = (step - best) // hyper.checkpoint_interval
        if waited < hyper.patience:
            return False
        self.send(LogLine(f"no checkpoint has been better than that of step {best}: the training ends early"))
        return True

    def _train(self, network: Network, loop: Loop, judge: Judge) -> None:
        """Trains to the end, or leaves the best checkpoint in the network when it is to finish early."""
        attempt = self.attempt
        if attempt.finish:
            self._load([attempt.best_digest, attempt.checkpoint_digest], network, loop, "finishing with")
            return
        done = loop.run(self._load([attempt.checkpoint_digest, attempt.best_digest], network, loop, "resuming after"))
        chooses = done < loop.total_steps or attempt.spec.hyperparameters.keep_best
        if chooses and judge.best_digest and judge.best_digest != judge.latest_digest:
            self._load([judge.best_digest], network, loop, "finishing with")

    def _load(self, digests: Sequence[str], network: Network, loop: Loop, doing: str) -> int:
        """Puts the first checkpoint that is whole into network and optimizer; returns its step, 0 for none."""
        for digest in dict.fromkeys(filter(None, digests)):
            try:
                step = load_checkpoint(self.artifacts, digest, network, loop.optimizer)
            except (NotFound, IntegrityError) as exc:
                self.send(Warning("CHECKPOINT_LOST", f"the checkpoint {digest[:12]} cannot be used: {exc}"))
                continue
            self.send(LogLine(f"{doing} step {step}"))
            return step
        if any(digests):
            self.send(LogLine("starting over"))
        return 0


@dataclass(frozen=True)
class _Seen:
    """What is trained, the rows that it learns from, and those that it is judged by."""

    network: Network
    rows: Sequence[Any]
    held: Sequence[Any]
    join: Join


def _store(artifacts: ArtifactStore, bundle: Bundle) -> str:
    return write_bundle(artifacts, bundle.manifest, bundle.adapter, bundle.head, bundle.own_module)


def _size(network: Network) -> str:
    trained = sum(p.numel() for p in network.trainable().values())
    total = sum(p.numel() for p in network.parameters())
    return f"{trained:,} of {total:,} parameters are trained ({trained / total:.2%})"


def peak_memory_bytes() -> float:
    """Returns the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
