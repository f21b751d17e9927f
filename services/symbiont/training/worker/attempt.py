"""One attempt at a job, from the dataset to the stored bundle, or base."""

import gc
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from symbiont.bundle import Bundle, BundleManifest, write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound
from symbiont.common.tracing import span
from symbiont.training.heads import Rule
from symbiont.training.heads.masked_tokens import compared
from symbiont.training.spec import MaskedTokensHead
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
from symbiont.training.vocabulary import read_vocabulary
from symbiont.training.worker.beginning import LABELLED, expect_new, sample, start_bundle, take
from symbiont.training.worker.calibrating import calibrate, in_words
from symbiont.training.worker.checkpoint import KIND as CHECKPOINTS
from symbiont.training.worker.checkpoint import load_checkpoint, save_checkpoint
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import Unusable
from symbiont.training.worker.examples import Tokenize
from symbiont.training.worker.exchanged import check_labels
from symbiont.training.worker.features import features
from symbiont.training.worker.judging import Judge, rows_at_a_time
from symbiont.training.worker.loop import Loop
from symbiont.training.worker.masked_network import build_masked_network, pad_masked
from symbiont.training.worker.masking import Masking
from symbiont.training.worker.network import Join, Network, OnFeatures, build_network, infer, pad, stack
from symbiont.training.worker.own_module import export
from symbiont.training.worker.precision import BF16, is_native
from symbiont.training.worker.ranks import Ranks
from symbiont.training.worker.regression import class_changes, said_of
from symbiont.training.worker.signs import Signs, of_past, of_rows
from symbiont.training.worker.storing import leave_graph, make_bundle, store_base, store_judgement, with_int8
from symbiont.training.worker.task import Attempt, Task, make_task, read_divided, width
from symbiont.training.worker.terms import Term, read_terms

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
    """Trains, evaluates, and stores the bundle, or the base that is to be made.

    Args:
        send: takes reports, which reach the controller sooner or later.
        command: asked at every step.
        ranks: those that train together; every one but rank 0 returns when the training is over.

    Raises:
        StopRequested: it was asked to stop.
        Diverged, RankLost: the training cannot go on.
        Unusable: it is only to finish, and no checkpoint is left.
    """
    run = _Run(attempt, artifacts, tokenize, send, command, ranks or Ranks())
    made = run.made()
    if made is None:
        return
    # The network is gone by now, but for what holds itself in circles: a worker that is killed here for its memory
    # would lose the training.
    gc.collect()
    leave_graph(artifacts, made.base_digest, send)
    digest = _store(artifacts, made.bundle) if made.bundle else ""
    send(Done(digest, made.base_digest, run.evaluation_digest, parameter_count=made.parameter_count))


@dataclass(frozen=True)
class _Made:
    """What came of an attempt: a bundle and the base that it lives on, or a base alone."""

    base_digest: str
    bundle: Bundle | None = None
    parameter_count: int = 0


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
    # Of the stored evaluation; empty before there is one.
    evaluation_digest: str = ""

    def made(self) -> _Made | None:
        attempt, inputs = self.attempt, self.attempt.inputs
        divided = read_divided(self.artifacts, attempt.spec, inputs)
        self.send(LogLine(f"{len(divided.kept)} rows to learn from, {len(divided.held)} held out"))
        if divided.apart:
            self.send(LogLine(f"{divided.apart} rows are neither: their texts are on the other side"))
        for warning in of_past(divided):
            self.send(warning)
        start = start_bundle(self.artifacts, inputs)
        task = make_task(attempt, self.tokenize, divided.kept, divided.held, start.manifest if start else None)
        for warning in of_rows(task.kept, attempt.max_tokens):
            self.send(warning)
        network = self._network(task)
        self.send(LogLine(_size(network)))
        if attempt.spec.hyperparameters.precision == BF16 and not is_native():
            self.send(LogLine("this machine does not compute bf16 itself: it takes longer than fp32 here"))
        if start:
            take(network, start)
        if attempt.spec.own_module:
            # What cannot be served is not worth training.
            export(network.head, attempt.spec.own_module.name)
        seen = self._see(network, task)
        old = self._begin(seen, task, start.manifest, divided.own) if start else None
        judge = Judge(seen.network, attempt, task, seen.held, seen.join)
        before = self._before(judge) if task.head.makes_base and self.ranks.leads else None
        loop = self._loop(seen, task, judge)
        with span("train"):
            self._train(network, loop, judge)
        if not self.ranks.leads:
            return None
        self.send(EvaluationStarted())
        with span("evaluate"):
            evaluation, rule = self._calibrated(judge, task)
        if old:
            evaluation = self._compared(evaluation, judge, task, old)
        self.send(compared(before, evaluation) if before else evaluation)
        trained, total = _sizes(network)
        told = ("parameters", total), ("peak_memory_bytes", peak_memory_bytes()), ("trained_parameters", trained)
        self.send(Metrics(loop.total_steps, told))
        base_digest = inputs.base_digest
        if task.head.makes_base:
            base_digest = store_base(self.artifacts, base_digest, network)
            # What an adapter learnt is in the weights by now.
            return _Made(base_digest, parameter_count=sum(p.numel() for p in network.base.parameters()))
        judged = replace(task, held=judge.judged)
        self.evaluation_digest = store_judgement(self.artifacts, attempt, judged, judge.outputs, rule, self.send)
        if network.has_own_base:
            base_digest = store_base(self.artifacts, base_digest, network)
            self.send(LogLine(f"the model has a base of its own: {base_digest[:12]}"))
        bundle = make_bundle(attempt, task, network, evaluation, base_digest, rule, judge.outputs)
        if inputs.quantized_digest and base_digest == inputs.base_digest:
            bundle = with_int8(bundle, self.artifacts, inputs.quantized_digest, task.held, self.send)
        return _Made(base_digest, bundle)

    def _network(self, task: Task) -> Network:
        spec, inputs = self.attempt.spec, self.attempt.inputs
        base_folder = self.artifacts.path("bases", inputs.base_digest)
        if not task.head.makes_base:
            return build_network(spec, base_folder, inputs.pooling, task.settings, width(task.fields))
        terms: Sequence[Term] = ()
        if before := inputs.base_tokenizer_digest:
            max_tokens = self.attempt.max_tokens
            terms = read_terms(self.artifacts, self.tokenize, inputs.tokenizer_digest, before, max_tokens)
            self.send(LogLine(f"{len(terms)} new tokens, whose embeddings begin as the mean of their pieces'"))
        network = build_masked_network(spec, base_folder, terms)
        if network.new_layers:
            self.send(LogLine("the base has no layers of its own to tell masked tokens: new ones are trained along"))
        return network

    def _before(self, judge: Judge) -> Evaluation:
        """Judges a base as it was, and tells of it."""
        found = judge.evaluate()
        self.send(Metrics(0, tuple((f"evaluation_{name}", value) for name, value in found.metrics)))
        return found

    def _calibrated(self, judge: Judge, task: Task) -> tuple[Evaluation, Rule]:
        """Judges the network by what it will answer; returns its quality, and what makes answers of its outputs."""
        evaluation = judge.evaluate()
        if task.head.makes_base:
            return evaluation, Rule()
        groups = [row.group for row in task.held.rows]
        found = calibrate(task.head, task.settings, judge.outputs, judge.judged.targets, groups)
        if found is None:
            return evaluation, Rule()
        evaluation = task.head.evaluate(task.settings, judge.outputs, judge.judged, found.decided)
        self.send(LogLine(in_words(found)))
        more = {"calibration_error": found.error_after, "uncalibrated_error": found.error_before}
        metrics = tuple(sorted({**dict(evaluation.metrics), **more}.items()))
        return replace(evaluation, metrics=metrics), found.rule

    def _begin(self, seen: "_Seen", task: Task, start: BundleManifest, own: int) -> list[Any] | None:
        """Makes the network ready to train on from a version; returns what that gives for the held-out rows.

        Every attempt does it: the version judges beside what was learnt, and a checkpoint that is lost leaves it.
        """
        if start.task not in LABELLED:
            return None
        spec, known, at_a_time = self.attempt.spec, len(start.labels), rows_at_a_time(self.attempt)
        places = sample(_own_examples(task, own), spec.hyperparameters.seed)
        given = infer(seen.network, [seen.rows[i] for i in places], at_a_time, seen.join)
        if not spec.accept_changed_labels:
            check_labels(start.task, start.labels, given, task.kept.targets[places], str(spec.start_from))
        expect_new(seen.network, start.task, given, known, task.kept.targets)
        if not self.ranks.leads:
            return None
        return [row[..., :known] for row in infer(seen.network, seen.held, at_a_time, seen.join)]

    def _compared(self, evaluation: Evaluation, judge: Judge, task: Task, before: list[Any]) -> Evaluation:
        """Returns the evaluation with how each class changed, and says which got worse."""
        kind, judged = task.head.entry(task.settings, 1, "mean").kind, judge.judged
        old, _ = task.head.by_row(before, task.held)
        windowed = len(old) > len(judged.rows)
        rows = [judged.rows[item.text] for item in judged.encoded] if windowed else judged.rows
        labels = task.head.labels(task.settings)
        changes = class_changes(kind, rows, labels, judge.outputs, old, judged.targets)
        for said in said_of(changes, str(self.attempt.spec.start_from)):
            self.send(said)
        return replace(evaluation, class_changes=changes)

    def _see(self, network: Network, task: Task) -> "_Seen":
        """Returns what is trained, and what it sees of the rows: where the base is left as it is, what that gives."""
        rows, held = task.kept.examples, task.held.examples
        if task.head.makes_base:
            masking = self._masking(task.settings)
            learnt = partial(masking.learnt, task.kept.encoded)
            return _Seen(network, learnt(0), masking.judged(task.held.encoded), pad_masked, learnt)
        if not network.leaves_base:
            return _Seen(network, rows, held, pad)
        made = features(network, [*rows, *held], self.send, self.command)
        return _Seen(OnFeatures(network), made[: len(rows)], made[len(rows) :], stack)

    def _masking(self, settings: MaskedTokensHead) -> Masking:
        vocabulary = read_vocabulary(self.artifacts, self.attempt.inputs.tokenizer_digest)
        seed = self.attempt.spec.hyperparameters.seed
        return Masking(vocabulary, settings.mask_fraction, seed, whole_words=settings.whole_words)

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
            in_epoch=seen.in_epoch,
        )
        return loop

    def _is_enough(self, step: int, judge: Judge) -> bool:
        """Says whether no checkpoint has been better for as long as the spec's patience."""
        hyper = self.attempt.spec.hyperparameters
        if hyper.patience is None or not judge.best_digest:
            return False
        try:
            best = int(self.artifacts.manifest(CHECKPOINTS, judge.best_digest)["step"])
        except NotFound:
            # How long ago it was is not known, and what is learnt next may be better.
            return False
        waited = (step - best) // hyper.checkpoint_interval
        if waited < hyper.patience:
            return False
        self.send(LogLine(f"no checkpoint has been better than that of step {best}: the training ends early"))
        return True

    def _train(self, network: Network, loop: Loop, judge: Judge) -> None:
        """Trains to the end, or leaves the best checkpoint in the network when it is to finish early."""
        attempt = self.attempt
        if attempt.finish:
            if not self._load([attempt.best_digest, attempt.checkpoint_digest], network, loop, "finishing with"):
                raise Unusable(
                    f"no checkpoint is left to make a {'base' if attempt.spec.derived_base else 'version'} of"
                )
            return
        done = self._load([attempt.checkpoint_digest, attempt.best_digest], network, loop, "resuming after")
        # It may have been so when the attempt before was broken off.
        self.enough = self._is_enough(done, judge)
        if not self.enough:
            done = loop.run(done)
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
        if any(digests) and not self.attempt.finish:
            self.send(LogLine("starting over"))
        return 0


@dataclass(frozen=True)
class _Seen:
    """What is trained, the rows that it learns from, in an epoch where that differs, and those that it is judged by."""

    network: Network
    rows: Sequence[Any]
    held: Sequence[Any]
    join: Join
    in_epoch: Callable[[int], Sequence[Any]] | None = None


def _own_examples(task: Task, own: int) -> int:
    """Returns how many of the examples to learn from are of the first `own` rows."""
    if not task.kept.encoded:
        return own
    return sum(item.text < own for item in task.kept.encoded)


def _sizes(network: Network) -> tuple[float, float]:
    """Returns how many parameters are trained, and how many there are."""
    trained = sum(p.numel() for p in network.trainable().values())
    return float(trained), float(sum(p.numel() for p in network.parameters()))


def _store(artifacts: ArtifactStore, bundle: Bundle) -> str:
    return write_bundle(artifacts, bundle.manifest, bundle.adapter, bundle.head, bundle.own_module)


def _size(network: Network) -> str:
    trained, total = _sizes(network)
    return f"{trained:,.0f} of {total:,.0f} parameters are trained ({trained / total:.2%})"


def peak_memory_bytes() -> float:
    """Returns the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
