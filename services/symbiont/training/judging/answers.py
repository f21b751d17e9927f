"""A stored bundle answers rows through the engine that serves, and what it says becomes an outcome."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from symbiont.bundle import BundleManifest, MultiLabelHead, read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, SymbiontError
from symbiont.engine.engine import Engine
from symbiont.engine.loading import load_runtime
from symbiont.engine.row import Row as AskedRow
from symbiont.engine.settings import HostSettings
from symbiont.evaluation import Outcome, Speed
from symbiont.training.data.rows import Row
from symbiont.training.heads import Rule, all_heads
from symbiont.training.judging.work import Contender
from symbiont.training.worker.examples import Example, Tokenize, sides
from symbiont.training.worker.outcomes import outcome_of
from symbiont.training.worker.task import Cut, material_of

# Calls whose time is measured, after a few that are not.
CALLS, FIRST_CALLS = 200, 10
ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class Answers:
    """What a bundle said, and how fast; `speed` is None where it was not measured."""

    outcome: Outcome
    speed: Speed | None


def answers(
    artifacts: ArtifactStore, version: Contender, asked: Sequence[Row], tokenize: Tokenize, *, timed: bool = False
) -> Answers:
    """Lets a version answer rows.

    Raises:
        FailedPrecondition: the rows are not such as its task is judged by, or the bundle cannot answer them.
        SymbiontError: base, bundle or tokenizer are missing or damaged.
    """
    manifest = read_manifest(artifacts, version.bundle_digest)
    head = all_heads()[manifest.task]
    try:
        settings = head.settings_of(manifest, asked)
        cut = Cut(version.tokenizer_digest, manifest.max_tokens, windows=manifest.windows)
        judged = material_of(head, settings, manifest.fields, asked, tokenize, cut)
    except (TypeError, ValueError, KeyError) as exc:
        problem = f"the rows have no labels such as {version.name} ({manifest.task}) is judged by: {exc}"
        raise FailedPrecondition(problem, reason="ROWS_DO_NOT_FIT") from exc
    threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    host = HostSettings(artifacts.root, version.base_digest, threads=threads, precision="fp32")
    engine = Engine(load_runtime(host, artifacts), artifacts)
    rows = [_row(example, version.bundle_digest) for example in sides(judged.examples)]
    outputs = _outputs(engine, rows)
    outcome = outcome_of(head, settings, outputs, judged, _rule(manifest, settings))
    return Answers(outcome, _speed(engine, rows) if timed else None)


def _rule(manifest: BundleManifest, settings: Any) -> Rule:
    """Returns what makes answers where the bundle is served; labels that it does not know hold from 0.5 on."""
    chosen = manifest.head.thresholds if isinstance(manifest.head, MultiLabelHead) else ()
    unknown = len(settings.labels) - len(chosen) if chosen else 0
    return Rule(manifest.calibration.temperature, (*chosen, *[0.5] * unknown))


def _row(example: Example, bundle_digest: str) -> AskedRow:
    return AskedRow(np.asarray(example.ids, np.int32), bundle_digest, example.segment_start, example.features)


def _outputs(engine: Engine, rows: Sequence[AskedRow]) -> "list[np.ndarray[Any, Any]]":
    found: list[np.ndarray[Any, Any]] = []
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        for answer in engine.infer(rows[start : start + ROWS_AT_A_TIME]):
            if isinstance(answer, SymbiontError):
                raise FailedPrecondition(f"a row cannot be answered: {answer}", reason="NOT_ANSWERED")
            found.append(answer)
    return found


def _speed(engine: Engine, rows: Sequence[AskedRow]) -> Speed:
    """Returns how long single rows take, each after the other, on this machine as it is now."""
    milliseconds = []
    for number, row in enumerate(islice(cycle(rows), FIRST_CALLS + CALLS)):
        began = time.perf_counter()
        engine.infer([row])
        if number >= FIRST_CALLS:
            milliseconds.append(1000 * (time.perf_counter() - began))
    tokens = float(np.mean([len(row.input_ids) for row in rows]))
    median, p99 = np.percentile(milliseconds, (50, 99)).tolist()
    return Speed(median_ms=median, p99_ms=p99, tokens=round(tokens))
