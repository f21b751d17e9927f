"""Whether a bundle may be computed in int8: the same rows, answered by the engine in fp32 and in int8."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.bundle import Bundle, BundleManifest, ClassificationHead, Int8
from symbiont.common.artifacts import ArtifactStore

# Enough for half a percent to be ten rows; more would cost a training minutes.
MOST_ROWS = 2000
# With fewer, one row that is labelled otherwise would be more than the half percent that is allowed.
LEAST_ROWS = 200
LEAST_AGREEMENT = 0.995
# Of the accuracy, in either direction of the scale 0 to 1.
LARGEST_FALL = 0.003
Floats = npt.NDArray[np.float32]


def check_bundle(
    artifacts: ArtifactStore,
    bundle: Bundle,
    quantized_digest: str,
    rows: Sequence["npt.NDArray[np.int64]"],
    truth: Sequence[int],
) -> Int8:
    """Compares the forms of the base on rows that the bundle was not trained on, as many as `MOST_ROWS` of them.

    Args:
        artifacts: where base and quantised form are.
        bundle: as it will be stored; of the task classification.
        quantized_digest: of the artifact of kind `quantized`.
        rows: token ids of each text.
        truth: index of each row's label.

    Raises:
        SymbiontError: the quantised form is missing or damaged, or the bundle does not fit the base.
        ImportError: OpenVINO is not installed here.
    """
    from symbiont.engine.engine import Engine
    from symbiont.engine.openvino_runtime import OpenVinoRuntime

    chosen = spread(len(rows), MOST_ROWS)
    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    # int8, whatever this CPU is like: it is not for speed here.
    runtime = OpenVinoRuntime(artifacts, bundle.manifest.base_digest, threads=threads, precision="int8")
    asked = [np.asarray(rows[row], np.int32) for row in chosen]
    exact, rounded = Engine(runtime, artifacts).answer_both(bundle, quantized_digest, asked)
    outputs = len(bundle.manifest.labels)
    logits = [np.array(form, np.float32).reshape(-1, outputs) for form in (exact, rounded)]
    kept = np.asarray([truth[row] for row in chosen])
    return decide(quantized_digest, logits[0], logits[1], kept, lambda values: _answers(bundle.manifest, values))


def _answers(manifest: BundleManifest, logits: Floats) -> "npt.NDArray[Any]":
    head = manifest.head
    assert isinstance(head, ClassificationHead)  # noqa: S101 - the caller sees to it
    scaled = logits.astype(np.float64) / manifest.calibration.temperature
    # Of probabilities, only how they are to each other matters.
    return head.decide(np.exp(scaled - scaled.max(axis=1, keepdims=True)))


def _best(logits: Floats) -> "npt.NDArray[Any]":
    return np.asarray(logits.argmax(axis=1))


def decide(
    quantized_digest: str,
    exact: Floats,
    rounded: Floats,
    truth: "npt.NDArray[Any]",
    answers: Callable[[Floats], "npt.NDArray[Any]"] = _best,
) -> Int8:
    """Judges logits [rows, labels] of fp32 and of int8 against the labels' indices [rows].

    `answers` gives the indices of the labels that are answered for logits.
    """
    rows = len(truth)
    if not rows:
        return Int8(quantized_digest=quantized_digest, rows=0, agreement=0.0, metric_change=0.0, allowed=False)
    one, other = answers(exact), answers(rounded)
    same = float((one == other).mean())
    # Of counts, so that a fall of just as much as is allowed is not made more by rounding.
    change = (int((other == truth).sum()) - int((one == truth).sum())) / rows
    sound = bool(np.isfinite(rounded).all()) and rows >= LEAST_ROWS
    allowed = sound and same >= LEAST_AGREEMENT and change >= -LARGEST_FALL
    return Int8(quantized_digest=quantized_digest, rows=rows, agreement=same, metric_change=change, allowed=allowed)


def in_words(checked: Int8) -> str:
    """Says what was found, for people."""
    verdict = "allowed" if checked.allowed else "not allowed"
    found = f"{checked.agreement:.2%} of {checked.rows} rows keep their label, accuracy {checked.metric_change:+.2%}"
    few = f"; at least {LEAST_ROWS} rows are needed" if checked.rows < LEAST_ROWS else ""
    return f"int8 is {verdict}: {found}{few}"


def spread(count: int, most: int) -> list[int]:
    """Returns at most so many of the numbers below `count`, evenly: datasets may be sorted by label."""
    return [index * count // most for index in range(most)] if count > most else list(range(count))
