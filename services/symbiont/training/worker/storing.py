"""What comes out of a training: the bundle, what was found of its int8, and the graph of its base."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from symbiont.bundle import Bundle, BundleManifest, Calibration, Golden, Lineage
from symbiont.bundle.tensors import as_arrays
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.openvino_names import KIND, graph_id
from symbiont.training.heads import head_for
from symbiont.training.methods import method_for
from symbiont.training.types import Evaluation, LogLine, Report
from symbiont.training.worker.network import Network, infer
from symbiont.training.worker.task import Attempt

GOLDEN_ROWS, GOLDEN_TOKENS = 4, 24
Send = Callable[[Report], None]


def with_int8(
    bundle: Bundle,
    artifacts: ArtifactStore,
    digest: str,
    rows: Sequence["np.ndarray[Any, Any]"],
    truth: Sequence[int],
    send: Send,
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


def make_bundle(attempt: Attempt, network: Network, evaluation: Evaluation) -> Bundle:
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
