"""The answer to a question as a part of its context: a linear layer on each token's hidden state, whose two outputs say
how well an answer begins and ends there (as in SQuAD 2.0, arXiv 1806.03822).

The first token stands for "no answer". Long contexts are read in windows that overlap, as in serving.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from symbiont.bundle import BundleManifest
from symbiont.bundle import SpanHead as HeadEntry
from symbiont.evaluation import Answered, Rows, answered
from symbiont.evaluation.making.answers import judge
from symbiont.training.data.rows import Place, Row
from symbiont.training.heads import OVERLAP, Criterion, Encode, Head, Material, register
from symbiont.training.spec import SpansHead
from symbiont.training.types import Evaluation
from symbiont.training.worker.examples import Encoded, Example


class Spans(Head):
    """Cross entropy over the tokens, of the begin and of the end."""

    on_tokens = True

    @override
    def fit(self, settings: SpansHead, rows: Sequence[Row]) -> SpansHead:
        """A window without the answer learns that there is none; where no row is without, that says nothing of rows."""
        if settings.always_answers is not None:
            return settings
        return settings.model_copy(update={"always_answers": all(row.label for row in rows)})

    @override
    def fit_as(self, settings: SpansHead, rows: Sequence[Row], entry: Any) -> SpansHead:
        """What the version answers, it answers on, whichever rows are the new ones."""
        if settings.always_answers is not None:
            return settings
        return settings.model_copy(update={"always_answers": entry.always_answers})

    @override
    def material(self, settings: SpansHead, rows: Sequence[Row], encode: Encode, max_tokens: int) -> Material:
        encoded = encode(
            [row.text for row in rows],
            pairs=[row.pair for row in rows],
            stride=max_tokens // OVERLAP,
            places=True,
        )
        examples = [Example(item.ids, item.segment_start) for item in encoded]
        targets = torch.tensor([bounds(item, rows[item.text].label) for item in encoded])  # type: ignore[arg-type]
        return Material(examples, targets, rows, encoded)

    @override
    def outputs(self, settings: SpansHead) -> int:
        return 2

    @override
    def criterion(self, settings: SpansHead, targets: Tensor) -> Criterion:
        def loss(outputs: Tensor, truth: Tensor) -> Tensor:
            # [rows, tokens, 2] to [rows, 2] choices among the tokens. What fills up short rows is never an answer.
            return functional.cross_entropy(outputs, truth)

        return loss

    @override
    def evaluate(
        self, settings: SpansHead, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, decided: Any = None
    ) -> Evaluation:
        loss = 0.0
        for values, bounds in zip(outputs, judged.targets.tolist(), strict=True):
            begin, end = bounds
            chances = torch.from_numpy(values).log_softmax(0)
            loss -= float(chances[begin, 0] + chances[end, 1]) / 2
        right = [judge(said, wanted) for said, wanted in zip(*_answers(settings, outputs, judged), strict=True)]
        exact, overlap = np.mean(right, axis=0).tolist()
        metrics = {"exact_match": exact, "f1": overlap, "loss": loss / len(judged.encoded)}
        return Evaluation(
            row_count=len(judged.rows),
            accuracy=metrics["exact_match"],
            macro_f1=0.0,
            loss=metrics["loss"],
            labels=(),
            confusion_matrix=(),
            metrics=tuple(sorted(metrics.items())),
            primary_metric="f1",
        )

    @override
    def outcome(
        self, settings: SpansHead, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, rows: Rows
    ) -> Answered:
        return answered(rows, *_answers(settings, outputs, judged))

    @override
    def settings_of(self, manifest: BundleManifest, rows: Sequence[Row]) -> SpansHead:
        entry: Any = manifest.head
        return SpansHead(max_answer_tokens=entry.max_answer_tokens, always_answers=entry.always_answers)

    @override
    def entry(self, settings: SpansHead, hidden_size: int, pooling: Any) -> HeadEntry:
        return HeadEntry(
            hidden_size=hidden_size,
            max_answer_tokens=settings.max_answer_tokens,
            always_answers=bool(settings.always_answers),
        )

    @override
    def asks(self, *, paired: bool) -> Any:
        return "pair"


def _answers(
    settings: SpansHead, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material
) -> tuple[list[str], list[list[str]]]:
    """Returns for each row what was answered, and all that is right; empty where there is no answer."""
    windows: list[list[int]] = [[] for _ in judged.rows]
    for number, item in enumerate(judged.encoded):
        windows[item.text].append(number)
    said, wanted = [], []
    for row, numbers in zip(judged.rows, windows, strict=True):
        found = answer([outputs[n] for n in numbers], [judged.encoded[n] for n in numbers], settings)
        said.append(row.pair[slice(*found)] if found else "")
        places: Sequence[Place] = row.label or ()  # type: ignore[assignment]  # of such a dataset
        wanted.append([row.pair[start:end] for start, end in places])
    return said, wanted


def bounds(item: Encoded, places: Sequence[Place]) -> tuple[int, int]:
    """Returns the first and the last token of the first answer that is whole in a window; (0, 0) where none is."""
    tokens, starts, ends = context(item)
    for start, end in places:
        inside = np.flatnonzero((starts < end) & (ends > start))
        if len(inside) and starts[inside[0]] <= start and ends[inside[-1]] >= end:
            return int(tokens[inside[0]]), int(tokens[inside[-1]])
    return 0, 0


def context(item: Encoded) -> tuple[Any, Any, Any]:
    """Returns the tokens of the context in a window, and where each begins and ends in it."""
    assert item.sequences is not None  # noqa: S101 - places were asked for
    assert item.starts is not None  # noqa: S101
    assert item.ends is not None  # noqa: S101
    tokens = np.flatnonzero(item.sequences == 1)
    return tokens, item.starts[tokens], item.ends[tokens]


def answer(outputs: Sequence["np.ndarray[Any, Any]"], windows: Sequence[Encoded], settings: SpansHead) -> Place | None:
    """Returns where the best answer of all windows is in the context, or None where that there is none is more likely.

    As in serving: an answer's score is the sum of its two outputs, and that there is none every window must say.
    """
    none = -np.inf if settings.always_answers else min(float(values[0].sum()) for values in outputs)
    best, found = none, None
    for values, item in zip(outputs, windows, strict=True):
        tokens, starts, ends = context(item)
        if not len(tokens):
            continue
        sums = values[tokens, 0][:, None] + values[tokens, 1][None, :]
        reach = np.subtract.outer(np.arange(len(tokens)), np.arange(len(tokens)))
        sums = np.where((reach <= 0) & (reach > -settings.max_answer_tokens), sums, -np.inf)
        first, last = np.unravel_index(int(sums.argmax()), sums.shape)
        if sums[first, last] >= best:
            best, found = float(sums[first, last]), (int(starts[first]), int(ends[last]))
    return found


register("spans", Spans())
