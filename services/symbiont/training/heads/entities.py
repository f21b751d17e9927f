"""Named parts of a text: a linear layer on each token's hidden state, whose classes are tags of words.

A word has the tag of its first token, in training and in serving; of its other tokens nothing is learnt. Long texts are
read in windows that overlap, as in serving; each is judged for itself.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from symbiont.bundle import EntityHead as HeadEntry
from symbiont.training.data.rows import Mark, Row
from symbiont.training.heads import Criterion, Encode, Head, Material, register
from symbiont.training.spec import EntitiesHead
from symbiont.training.types import Evaluation
from symbiont.training.worker.examples import Encoded, Example

# What nothing is learnt of.
SKIP = -100
# Share of a window that it has in common with the next one, as in serving.
OVERLAP = 4
OUTSIDE = "O"


class Entities(Head):
    """Cross entropy over the tags of words."""

    on_tokens = True
    has_labels = True

    @override
    def labels(self, settings: EntitiesHead) -> tuple[str, ...]:
        return (OUTSIDE, *(f"{place}-{name}" for name in settings.labels for place in "BI"))

    @override
    def material(self, settings: EntitiesHead, rows: Sequence[Row], encode: Encode, max_tokens: int) -> Material:
        encoded = encode([row.text for row in rows], stride=max_tokens // OVERLAP, places=True)
        index = {tag: i for i, tag in enumerate(self.labels(settings))}
        targets = torch.full((len(encoded), max(len(item.ids) for item in encoded)), SKIP)
        for number, item in enumerate(encoded):
            for token, tag in tags(item, rows[item.text].label):  # type: ignore[arg-type]  # of such a dataset
                targets[number, token] = index[tag]
        return Material([Example(item.ids) for item in encoded], targets, rows, encoded)

    @override
    def outputs(self, settings: EntitiesHead) -> int:
        return len(self.labels(settings))

    @override
    def criterion(self, settings: EntitiesHead, targets: Tensor) -> Criterion:
        # Divided by the same number everywhere, not by the words of a part: parts of a step then add up to the step.
        words = float((targets != SKIP).sum() / max(len(targets), 1))

        def loss(logits: Tensor, truth: Tensor) -> Tensor:
            truth = truth[:, : logits.shape[1]]
            flat = functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), ignore_index=SKIP, reduction="sum")
            return flat / (len(truth) * max(words, 1.0))

        return loss

    @override
    def evaluate(
        self,
        settings: EntitiesHead,
        outputs: Sequence["np.ndarray[Any, Any]"],
        judged: Material,
        decided: Any = None,
    ) -> Evaluation:
        names = self.labels(settings)
        counts = {name: np.zeros(3, np.int64) for name in settings.labels}
        right = words = 0
        loss = 0.0
        for logits, truth in zip(outputs, judged.targets.numpy(), strict=True):
            first = np.flatnonzero(truth[: len(logits)] != SKIP)
            best, true = logits[first].argmax(axis=1), truth[first]
            right, words = right + int((best == true).sum()), words + len(first)
            loss += float(-torch.from_numpy(logits[first]).log_softmax(1).numpy()[range(len(first)), true].sum())
            found = parts([names[tag] for tag in best])
            expected = parts([names[tag] for tag in true])
            for name, total in counts.items():
                ours, theirs = ({part for part in all_ if part[2] == name} for all_ in (found, expected))
                total += (len(ours & theirs), len(ours), len(theirs))
        micro = f1(np.sum(list(counts.values()), axis=0))
        metrics = {
            "loss": loss / max(words, 1),
            "macro_f1": float(np.mean([f1(total) for total in counts.values()])),
            "micro_f1": micro,
            "word_accuracy": right / max(words, 1),
        }
        return Evaluation(
            row_count=len(judged.rows),
            accuracy=metrics["word_accuracy"],
            macro_f1=metrics["macro_f1"],
            loss=metrics["loss"],
            labels=settings.labels,
            confusion_matrix=(),
            metrics=tuple(sorted(metrics.items())),
            primary_metric="micro_f1",
        )

    @override
    def entry(self, settings: EntitiesHead, hidden_size: int, pooling: Any) -> HeadEntry:
        return HeadEntry(hidden_size=hidden_size, num_labels=len(self.labels(settings)))


def tags(item: Encoded, marks: Sequence[Mark]) -> list[tuple[int, str]]:
    """Returns the first token of each word that is whole in a window, with the word's tag.

    A word that shares a character with a part belongs to it; of two parts, to the one that begins first.
    """
    assert item.words is not None  # noqa: S101 - places were asked for
    assert item.starts is not None  # noqa: S101
    assert item.ends is not None  # noqa: S101
    found: list[tuple[int, str]] = []
    # Tokens of a word follow each other; special ones are of word -1.
    bounds = np.flatnonzero(np.diff(item.words, prepend=-2, append=-2))
    waiting, begun = list(marks), False
    for first, behind in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if item.words[first] < 0:
            continue
        start, end = int(item.starts[first]), int(item.ends[behind - 1])
        while waiting and waiting[0][1] <= start:
            waiting.pop(0)
            begun = False
        if waiting and waiting[0][0] < end:
            # In a window that begins within a part, the part goes on.
            goes_on = begun or (waiting[0][0] < start and not found)
            found.append((first, f"{'I' if goes_on else 'B'}-{waiting[0][2]}"))
            begun = True
        else:
            found.append((first, OUTSIDE))
    return found


def parts(words: Sequence[str]) -> set[tuple[int, int, str]]:
    """Returns the parts (first word, word behind the last, name) that tags stand for, as serving joins them."""
    found: list[tuple[int, int, str]] = []
    before = OUTSIDE
    for number, tag in enumerate(words):
        name = tag.partition("-")[2]
        if tag != OUTSIDE:
            if tag.startswith("I-") and before.partition("-")[2] == name:
                found[-1] = (found[-1][0], number + 1, name)
            else:
                found.append((number, number + 1, name))
        before = tag
    return set(found)


def f1(counts: "np.ndarray[Any, Any]") -> float:
    """Returns F1 of (right, found, expected); 0 where there is neither."""
    right, found, expected = (int(count) for count in counts)
    return 2 * right / (found + expected) if found + expected else 0.0


register("entities", Entities())
