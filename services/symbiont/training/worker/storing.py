"""What comes out of a training: the bundle, what was found of its int8, a base of its own, the graph of its base."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
from safetensors.torch import save

from symbiont.bundle import Bundle, BundleManifest, Calibration, Golden, Lineage, OwnModule
from symbiont.bundle.heads import PooledHead
from symbiont.bundle.tensors import as_arrays
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.log import get_logger
from symbiont.engine.openvino_names import KIND, graph_id
from symbiont.evaluation import Origin, make_report
from symbiont.training.environment import environment
from symbiont.training.evaluations import store_evaluation
from symbiont.training.heads import Material, Rule
from symbiont.training.heads.layers import tensors_of
from symbiont.training.methods import method_for
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import Evaluation, LogLine, Report, now
from symbiont.training.worker.examples import Example
from symbiont.training.worker.network import Network, infer
from symbiont.training.worker.outcomes import outcome_of, profile_of
from symbiont.training.worker.own_module import export
from symbiont.training.worker.task import Attempt, Task, width

BASES = "bases"
GOLDEN_ROWS, GOLDEN_TOKENS = 4, 24
Send = Callable[[Report], None]


def with_int8(
    bundle: Bundle,
    artifacts: ArtifactStore,
    digest: str,
    held: Material,
    send: Send,
) -> Bundle:
    """Returns the bundle with what was found of int8; one that could not be checked stays without, and serves in fp32.

    Whatever goes wrong here must not cost the training that is done.
    """
    from symbiont.training.quantization.gate import check_bundle, in_words

    manifest = bundle.manifest
    if manifest.task != "classification" or manifest.input == "pair" or manifest.fields:
        send(LogLine("int8 is not allowed: it is checked for classes of single texts only"))
        return bundle
    try:
        rows, truth = [example.ids for example in held.examples], [int(target) for target in held.targets]
        checked = check_bundle(artifacts, bundle, digest, rows, truth)
    except Exception as exc:  # noqa: BLE001
        send(LogLine(f"int8 is not allowed, because it could not be checked: {exc}"))
        return bundle
    send(LogLine(in_words(checked)))
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"int8": checked}))


def leave_graph(artifacts: ArtifactStore, base_digest: str, send: Send) -> None:
    """Stores the graph that hosts on CPU compute, where there is none: hosts may see the store read-only.

    Whatever goes wrong here must not cost the training that is done; a host converts the base itself then.
    """
    try:
        if graph_id(base_digest) in artifacts.identifiers(KIND):
            return
        # This loads OpenVINO, which takes a second and is seldom needed.
        from symbiont.engine.openvino_stored import load_graph

        load_graph(artifacts, base_digest)
    except Exception as exc:  # noqa: BLE001
        send(LogLine(f"hosts will convert the base themselves: {exc}"))


def store_base(artifacts: ArtifactStore, parent: str, network: Network, *, to: ArtifactStore | None = None) -> str:
    """Stores the base as it is now as one of its own, in the same store unless told where to; returns its digest."""
    base: Any = network.merged_base()
    known = artifacts.manifest(BASES, parent)
    fields = {name: value for name, value in known.items() if name != "files"}
    weights = {name: tensor.detach().contiguous() for name, tensor in base.state_dict().items()}
    config = artifacts.read(BASES, parent, "config.json")
    if (facts := json.loads(config))["vocab_size"] != base.config.vocab_size:
        config = json.dumps({**facts, "vocab_size": base.config.vocab_size}, indent=2).encode()
    files = {"config.json": config, "model.safetensors": save(weights, metadata={"format": "pt"})}
    return (to or artifacts).put(BASES, files, {**fields, "parent": parent})


def make_bundle(
    attempt: Attempt,
    task: Task,
    network: Network,
    evaluation: Evaluation,
    base_digest: str,
    rule: Rule = Rule(),  # noqa: B008, frozen
    outputs: Sequence["np.ndarray[Any, Any]"] = (),
) -> Bundle:
    """Returns what training made; it has no digest before it is stored.

    Args:
        rule: by which it answers.
        outputs: what it gave for the rows that judged it.
    """
    spec, inputs = attempt.spec, attempt.inputs
    method, method_settings = method_for(spec)
    head, settings = task.head, task.settings
    base: Any = network.base
    entry = head.entry(settings, base.config.hidden_size, inputs.pooling)
    if isinstance(entry, PooledHead):
        gated = spec.business_fields is not None and spec.business_fields.fusion == "FUSION_GATED"
        fusion = "gated" if gated and task.fields else "concatenated"
        own = _own(spec, network)
        entry = entry.model_copy(update={"fusion": fusion, "hidden_layers": spec.hidden_layers, "own_module": own})
    if rule.thresholds:
        entry = entry.model_copy(update={"thresholds": rule.thresholds})
    asks = head.asks(paired=any(row.pair for row in task.kept.rows))
    values = width(task.fields)
    golden = _golden_rows(spec.hyperparameters.seed, base.config.vocab_size, values, paired=asks == "pair")
    manifest = BundleManifest(
        base_digest=base_digest,
        tokenizer_digest=inputs.tokenizer_digest,
        max_tokens=attempt.max_tokens,
        windows=spec.windows,
        task=entry.kind,
        input=asks,
        labels=head.labels(settings),
        fields=tuple(task.fields),
        method=method.entry(method_settings),
        head=entry,
        calibration=Calibration(temperature=rule.temperature),
        metrics=dict(evaluation.metrics),
        profile=profile_of(head, settings, outputs, rule),
        lineage=Lineage(
            job=f"jobs/{attempt.origin or attempt.job}",
            training_dataset=inputs.dataset_digest,
            evaluation_dataset=inputs.evaluation_dataset_digest,
            seed=spec.hyperparameters.seed,
            code_version=version("symbiont"),
            started_from=inputs.start_digest,
        ),
        golden=Golden(
            input_ids=tuple(tuple(int(i) for i in row.ids) for row in golden),
            logits=tuple(tuple(float(x) for x in row.flatten()) for row in infer(network, golden)),
            segment_starts=tuple(row.segment_start for row in golden) if asks == "pair" else (),
            features=tuple(tuple(float(x) for x in row.features) for row in golden) if values else (),
        ),
    )
    adapter = {name: tensor.detach().numpy() for name, tensor in method.adapter(network.base).items()}
    weights = {name: tensor.detach().numpy() for name, tensor in tensors_of(network.head).items()}
    written = export(network.head, spec.own_module.name) if spec.own_module else b""
    return Bundle("", manifest, as_arrays(adapter), as_arrays(weights), written)


def _own(spec: TrainingSpec, network: Network) -> OwnModule | None:
    layers: Any = network.head
    return OwnModule(name=spec.own_module.name, outputs=layers.own_outputs) if spec.own_module else None


def _golden_rows(seed: int, vocabulary: int, features: int, *, paired: bool) -> list[Example]:
    """Returns rows of random ids, not of the dataset: a customer's text must not travel in a manifest."""
    random = np.random.default_rng(seed)
    rows = [random.integers(0, vocabulary, GOLDEN_TOKENS) for _ in range(GOLDEN_ROWS)]
    values = random.normal(size=(GOLDEN_ROWS, features)).astype(np.float32)
    start = GOLDEN_TOKENS // 2 if paired else 0
    return [Example(ids, start, beside) for ids, beside in zip(rows, values, strict=True)]


def store_judgement(
    artifacts: ArtifactStore,
    attempt: Attempt,
    task: Task,
    outputs: Sequence["np.ndarray[Any, Any]"],
    rule: Rule,
    send: Send,
) -> str:
    """Stores the evaluation of what was trained; returns its digest, or nothing where it could not be made.

    Whatever goes wrong here must not cost the training that is done.
    """
    spec, inputs = attempt.spec, attempt.inputs
    try:
        outcome = outcome_of(task.head, task.settings, outputs, task.held, rule)
        origin = Origin(
            model=spec.model,
            base=spec.base_model,
            method=spec.method,
            training_dataset=inputs.dataset_digest,
            evaluation_dataset=inputs.evaluation_dataset_digest or inputs.dataset_digest,
            seed=str(spec.hyperparameters.seed),
            code_version=version("symbiont"),
            time=now().isoformat(timespec="seconds"),
        )
        return store_evaluation(artifacts, make_report(outcome, origin=origin), outcome, environment())
    except Exception as exc:  # noqa: BLE001
        get_logger().warning("no report", exc_info=exc)
        send(LogLine(f"there is no report of the evaluation: {type(exc).__name__}: {exc}"))
        return ""
