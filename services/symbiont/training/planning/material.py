"""The rows that a plan works on: read as the worker reads them, and tokenized in part."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symbiont.bundle import BusinessField
from symbiont.common.artifacts import ArtifactStore
from symbiont.training.heads import Material as HeadMaterial
from symbiont.training.planning import remarks
from symbiont.training.planning.clients import SampleClient
from symbiont.training.planning.sampling import Sample, draw, lengths_of_all, memory_of, sizes_of
from symbiont.training.planning.texts import Repetition, repetition, report, shares
from symbiont.training.planning.types import LabelShare, TextReport
from symbiont.training.planning.workload import Ints
from symbiont.training.types import Warning
from symbiont.training.worker.beginning import start_of
from symbiont.training.worker.signs import of_texts
from symbiont.training.worker.task import Attempt, Texts, fitted, make_material, read_divided

# Judged for a bundle that is thrown away.
FEW_ROWS = 8


@dataclass(frozen=True)
class Side:
    """The rows to learn from, or those to judge by: `material` are those of the sample as the network takes them, in
    its order, `lengths` those of all examples, in tokens."""

    texts: Texts
    sample: Sample
    material: HeadMaterial
    lengths: Ints

    @property
    def rows(self) -> Sequence[Any]:
        """The examples of the sample: more than its rows where long texts are read in windows."""
        return self.material.examples

    @property
    def windowed(self) -> bool:
        """Whether they are."""
        return len(self.rows) > len(self.sample.rows)

    def labels(self) -> list[str]:
        """Returns the labels of the sample."""
        labels = self.texts.labels
        return [labels[row] for row in self.sample.rows]


@dataclass(frozen=True)
class Material:
    """Both sides, how long they took or would take, in seconds, and what there is to say of them.

    `more_memory` is what the worker holds of rows that were not tokenized here, in bytes; `few` are a few of the
    held-out rows, and `settings` those that the head made of the rows to learn from.
    """

    settings: Any
    fields: Sequence[BusinessField]
    kept: Side
    held: Side
    few: HeadMaterial
    read_seconds: float
    tokenize_seconds: float
    more_memory: float
    report: TextReport
    labels: tuple[LabelShare, ...]
    warnings: tuple[Warning, ...]


def gather(attempt: Attempt, artifacts: ArtifactStore, client: SampleClient, most: int) -> Material:
    """Reads all rows, and tokenizes at most so many of each side."""
    started = time.monotonic()
    divided = read_divided(artifacts, attempt.spec, attempt.inputs)
    kept, held = Texts(divided.kept), Texts(divided.held)
    read_seconds = time.monotonic() - started
    # The first text that a tokenizer sees has to wait for it to be loaded; the job's texts will not.
    client.tokenize(attempt.inputs.tokenizer_digest, kept.texts[:1], attempt.max_tokens)
    settings, fields = fitted(attempt, kept.rows, start_of(artifacts, attempt.inputs))
    taken = [_tokenized(attempt, client, settings, fields, texts, most) for texts in (kept, held)]
    (kept_side, kept_seconds), (held_side, held_seconds) = taken
    sides = (kept_side,) if attempt.inputs.evaluation_dataset_digest else (kept_side, held_side)
    whole = Texts([row for side in sides for row in side.texts.rows])
    counted, sample = _drawn(sides)
    digest = attempt.inputs.tokenizer_digest
    repeated = repetition(whole.texts, whole.labels)
    found = report(
        len(whole.texts), client.count(digest, counted), attempt.max_tokens, repeated, client.describe(digest, sample)
    )
    names = attempt.spec.classification.labels if attempt.spec.classification else ()
    return Material(
        settings,
        fields,
        kept_side,
        held_side,
        make_material(attempt, client.tokenize, settings, fields, held.rows[:FEW_ROWS]),
        read_seconds,
        kept_seconds + held_seconds,
        sum(_untokenized(side) for side, _ in taken),
        found,
        shares(names, whole.labels),
        tuple(_warnings(attempt, kept_side, held_side, repeated, len(counted), names)),
    )


def _tokenized(
    attempt: Attempt, client: SampleClient, settings: Any, fields: Any, texts: Texts, most: int
) -> tuple[Side, float]:
    """Returns a side, and the seconds that tokenizing all of it takes: by its characters, from those of the sample."""
    seed, sizes = attempt.spec.hyperparameters.seed, sizes_of([row.text + row.pair for row in texts.rows])
    sample = draw(sizes, most, seed)
    started = time.monotonic()
    made = make_material(attempt, client.tokenize, settings, fields, [texts.rows[row] for row in sample.rows])
    seconds = (time.monotonic() - started) * float(sizes.sum() / sizes[sample.rows].sum())
    known = np.array([len(example) for example in made.examples], np.int64)
    if len(known) == len(sample.rows):
        lengths = lengths_of_all(sizes, sample, known, attempt.max_tokens, seed)
    else:
        # Windows: as many a row as in the sample, and as long.
        lengths = np.resize(known, round(len(known) * len(texts.rows) / len(sample.rows)))
    return Side(texts, sample, made, lengths), seconds


def _drawn(sides: Sequence[Side]) -> tuple[list[str], list[str]]:
    """Returns the texts that are like the whole, and the same ones evenly mixed over both sides."""
    drawn = [[side.texts.texts[row] for row in side.sample.drawn] for side in sides]
    whole = [text for texts in drawn for text in texts]
    return whole, [whole[row] for row in np.random.default_rng(0).permutation(len(whole))]


def _untokenized(side: Side) -> float:
    return memory_of(len(side.lengths) - len(side.rows), float(side.lengths.mean()))


def _warnings(
    attempt: Attempt, kept: Side, held: Side, repeated: Repetition, counted: int, names: Sequence[str]
) -> Iterator[Warning]:
    row_count = len(kept.texts.texts) + (0 if attempt.inputs.evaluation_dataset_digest else len(held.texts.texts))
    classes = [row.label for row in kept.texts.rows if isinstance(row.label, str)]
    yield from of_texts([0] if kept.windowed else kept.lengths.tolist(), classes, attempt.max_tokens)
    yield from remarks.of_labels_unseen(names, kept.texts)
    yield from remarks.of_repetition(repeated, row_count)
    yield from remarks.of_leaks(kept.texts, held.texts)
    yield from remarks.of_sample(counted, row_count)
