"""One attempt at a job, from the dataset to the stored bundle."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

from symbiont.bundle import Bundle, BundleManifest, Calibration, Golden, Lineage, write_bundle
from symbiont.bundle.tensors import as_arrays
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound
from symbiont.training.data.datasets import read_rows
from symbiont.training.heads import head_for
from symbiont.training.methods import method_for
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import (
    CheckpointSaved,
    Done,
    Evaluation,
    EvaluationStarted,
    Inputs,
    LogLine,
    Progress,
    Report,
)
from symbiont.training.worker.batches import split_holdout
from symbiont.training.worker.checkpoint import load_checkpoint, save_checkpoint
from symbiont.training.worker.loop import Loop
from symbiont.training.worker.network import Network, build_network, infer

GOLDEN_ROWS, GOLDEN_TOKENS = 4, 24
Tokenize = Callable[[str, Sequence[str], int], list["np.ndarray[Any, Any]"]]


class Reporter(Protocol):
    """Takes reports; they reach the controller sooner or later."""

    def __call__(self, report: Report) -> None:
        """Sends one report."""


@dataclass(frozen=True)
class Attempt:
    """What an attempt is asked to do."""

    job: str
    spec: TrainingSpec
    inputs: Inputs
    checkpoint_digest: str

    @property
    def max_tokens(self) -> int:
        """Where texts are cut; the controller filled it in from the base when the job was created."""
        if self.spec.hyperparameters.max_tokens is None:
            raise InvalidArgument("spec.hyperparameters.max_tokens", "the controller did not fill it in")
        return self.spec.hyperparameters.max_tokens


def run_attempt(
    attempt: Attempt, artifacts: ArtifactStore, tokenize: Tokenize, send: Reporter, stop_requested: Callable[[], bool]
) -> None:
    """Trains, evaluates, and stores the bundle.

    Args:
        tokenize: (tokenizer digest, texts, max_tokens) -> ids of each text.
        stop_requested: asked after every step; True ends the attempt with StopRequested after a checkpoint.
    """
    bundle = _train(attempt, artifacts, tokenize, send, stop_requested)
    # The network goes first, which the loop and its callbacks hold in a circle: a worker that is killed here for its
    # memory would lose the training.
    gc.collect()
    _leave_graph(artifacts, attempt.inputs.base_digest, send)
    send(Done(write_bundle(artifacts, bundle.manifest, bundle.adapter, bundle.head)))


def _train(
    attempt: Attempt, artifacts: ArtifactStore, tokenize: Tokenize, send: Reporter, stop_requested: Callable[[], bool]
) -> Bundle:
    spec, inputs = attempt.spec, attempt.inputs
    (texts, labels), (held_texts, held_labels) = _read(artifacts, spec, inputs)
    send(LogLine(f"{len(texts)} rows to learn from, {len(held_texts)} held out"))
    rows = tokenize(inputs.tokenizer_digest, texts, attempt.max_tokens)
    held_rows = tokenize(inputs.tokenizer_digest, held_texts, attempt.max_tokens)
    head, head_settings = head_for(spec)
    network = build_network(spec, artifacts.path("bases", inputs.base_digest), inputs.pooling)
    trained = sum(p.numel() for p in network.trainable().values())
    total = sum(p.numel() for p in network.parameters())
    send(LogLine(f"{trained:,} of {total:,} parameters are trained ({trained / total:.2%})"))

    def checkpoint(step: int) -> None:
        digest = save_checkpoint(artifacts, attempt.job, step, network, loop.optimizer)
        send(CheckpointSaved(step, digest))

    def report(progress: Progress) -> None:
        send(progress)

    targets = head.targets(head_settings, labels)
    loop = Loop(network, head, rows, targets, spec.hyperparameters, report, checkpoint, stop_requested)
    loop.run(_resume(attempt, artifacts, network, loop, send))
    send(EvaluationStarted())
    logits = infer(network, held_rows)
    evaluation = head.evaluate(head_settings, logits, head.targets(head_settings, held_labels))
    send(evaluation)
    bundle = _bundle(attempt, network, evaluation)
    if inputs.quantized_digest:
        truth = [int(label) for label in head.targets(head_settings, held_labels)]
        bundle = _with_int8(bundle, artifacts, inputs.quantized_digest, held_rows, truth, send)
    return bundle


def _read(artifacts: ArtifactStore, spec: TrainingSpec, inputs: Inputs) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    rows = list(read_rows(artifacts, inputs.dataset_digest))
    if inputs.evaluation_dataset_digest:
        held = list(read_rows(artifacts, inputs.evaluation_dataset_digest))
    else:
        kept, out = split_holdout([label for _, label in rows], spec.holdout_fraction or 0.2, spec.hyperparameters.seed)
        rows, held = [rows[i] for i in kept], [rows[i] for i in out]
    texts, labels = zip(*rows, strict=True)
    held_texts, held_labels = zip(*held, strict=True)
    return (texts, labels), (held_texts, held_labels)


def _resume(attempt: Attempt, artifacts: ArtifactStore, network: Network, loop: Loop, send: Reporter) -> int:
    if not attempt.checkpoint_digest:
        return 0
    try:
        step = load_checkpoint(artifacts, attempt.checkpoint_digest, network, loop.optimizer)
    except (NotFound, IntegrityError) as exc:
        send(LogLine(f"starting over: {exc}"))
        return 0
    send(LogLine(f"resuming after step {step}"))
    return step


def _with_int8(
    bundle: Bundle,
    artifacts: ArtifactStore,
    digest: str,
    rows: Sequence["np.ndarray[Any, Any]"],
    truth: Sequence[int],
    send: Reporter,
) -> Bundle:
    """Returns the bundle with what was found of int8; one that could not be checked stays without, and serves in fp32.

    Whatever goes wrong here must not cost the training that is done.
    """
    from symbiont.training.quantization.gate import check_bundle, in_words

    try:
        checked = check_bundle(artifacts, bundle, digest, rows, truth)
    except Exception as exc:  # noqa: BLE001
        send(LogLine(f"int8 is not allowed, because it could not be checked: {exc}"))
        return bundle
    send(LogLine(in_words(checked)))
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"int8": checked}))


def _leave_graph(artifacts: ArtifactStore, base_digest: str, send: Reporter) -> None:
    """Stores the graph that hosts on CPU compute, where there is none: hosts may see the store read-only.

    Whatever goes wrong here must not cost the training that is done; a host converts the base itself then.
    """
    try:
        from symbiont.engine.openvino_stored import load_graph

        load_graph(artifacts, base_digest)
    except Exception as exc:  # noqa: BLE001
        send(LogLine(f"hosts will convert the base themselves: {exc}"))


def _bundle(attempt: Attempt, network: Network, evaluation: Evaluation) -> Bundle:
    """Returns what training made; it has no digest before it is stored."""
    spec, inputs = attempt.spec, attempt.inputs
    method, method_settings = method_for(spec)
    head, head_settings = head_for(spec)
    base: Any = network.base
    hidden_size = base.config.hidden_size
    # Random ids, not rows of the dataset: a customer's text must not travel in a manifest.
    random = np.random.default_rng(spec.hyperparameters.seed)
    golden = [random.integers(0, base.config.vocab_size, GOLDEN_TOKENS) for _ in range(GOLDEN_ROWS)]
    manifest = BundleManifest(
        base_digest=inputs.base_digest,
        tokenizer_digest=inputs.tokenizer_digest,
        max_tokens=attempt.max_tokens,
        labels=head_settings.labels,
        method=method.entry(method_settings),
        head=head.entry(head_settings, hidden_size, inputs.pooling),
        calibration=Calibration(),
        metrics={"accuracy": evaluation.accuracy, "macro_f1": evaluation.macro_f1, "loss": evaluation.loss},
        lineage=Lineage(
            job=f"jobs/{attempt.job}",
            training_dataset=inputs.dataset_digest,
            evaluation_dataset=inputs.evaluation_dataset_digest,
            seed=spec.hyperparameters.seed,
            code_version=version("symbiont"),
        ),
        golden=Golden(
            input_ids=tuple(tuple(int(i) for i in row) for row in golden),
            logits=tuple(tuple(float(x) for x in row) for row in infer(network, golden)),
        ),
    )
    adapter = {name: tensor.detach().numpy() for name, tensor in method.adapter(network.base).items()}
    weights = {name: tensor.detach().numpy() for name, tensor in head.tensors(network.head).items()}
    return Bundle("", manifest, as_arrays(adapter), as_arrays(weights))
