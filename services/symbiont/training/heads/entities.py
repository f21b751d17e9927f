"""Named parts of a text: a linear layer on each token's hidden state, whose classes are tags of words.

A word has the tag of its first token, in training and in serving; of its other tokens nothing is learnt. Long texts are
read in windows that overlap, as in serving; each is judged for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from symbiont.bundle import BundleManifest
from symbiont.bundle import EntityHead as HeadEntry
from symbiont.evaluation import Rows, Tagged, parts_by_row
from symbiont.training.data.rows import Mark, Row
from symbiont.training.heads import OVERLAP, Criterion, Encode, Head, Material, register
from symbiont.training.heads.measures import micro_and_macro_f1
from symbiont.training.heads.pooled import grown
from symbiont.training.spec import EntitiesHead
from symbiont.training.types import Evaluation
from symbiont.training.worker.examples import Encoded, Example

# What nothing is learnt of.
SKIP = -100
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
        micro, macro = micro_and_macro_f1(*np.stack(list(counts.values()), axis=1))
        metrics = {
            "loss": loss / max(words, 1),
            "macro_f1": macro,
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
    def outcome(
        self, settings: EntitiesHead, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, rows: Rows
    ) -> Tagged:
        names, said, sure = self.labels(settings), [], []
        for row, words in zip(judged.rows, _words_by_row(outputs, judged), strict=True):
            tagged = [names[word.tag] for word in words]
            spans = [_whole(row.text, words[first].start, words[behind - 1].end) for first, behind, _ in join(tagged)]
            said.append([(*span, part[2]) for span, part in zip(spans, join(tagged), strict=True)])
            sure.append(min((word.probability for word in words), default=1.0))
        true: list[Any] = [row.label or () for row in judged.rows]
        labels = settings.labels
        return Tagged(rows, labels, parts_by_row(said, labels), parts_by_row(true, labels), np.array(sure))

    @override
    def settings_of(self, manifest: BundleManifest, rows: Sequence[Row]) -> EntitiesHead:
        known = [label[2:] for label in manifest.labels if label.startswith("B-")]
        marks: Any = (mark for row in rows for mark in row.label or ())  # type: ignore[union-attr]
        return EntitiesHead(labels=grown(known, (name for _, _, name in marks)))

    @override
    def entry(self, settings: EntitiesHead, hidden_size: int, pooling: Any) -> HeadEntry:
        return HeadEntry(hidden_size=hidden_size, num_labels=len(self.labels(settings)))


@dataclass(frozen=True)
class _Word:
    """A word with the tag that its first token got; `start` and `end` are code points."""

    worth: tuple[int, int]
    start: int
    end: int
    tag: int
    probability: float


def _words_by_row(outputs: Sequence["np.ndarray[Any, Any]"], judged: Material) -> list[list[_Word]]:
    """Returns the words of each row; one that stands in two windows is taken from the better one, as in serving."""
    found: list[dict[int, _Word]] = [{} for _ in judged.rows]
    for logits, truth, item in zip(outputs, judged.targets.numpy(), judged.encoded, strict=True):
        assert item.words is not None  # noqa: S101 - places were asked for
        assert item.starts is not None  # noqa: S101
        assert item.ends is not None  # noqa: S101
        chances = torch.from_numpy(logits).softmax(1).numpy()
        inside = np.flatnonzero(item.words >= 0)
        for first in np.flatnonzero(truth[: len(logits)] != SKIP).tolist():
            last = int(np.flatnonzero(item.words == item.words[first])[-1])
            start, end = int(item.starts[first]), int(item.ends[last])
            margin = min(first - int(inside[0]), int(inside[-1]) - last)
            best = int(chances[first].argmax())
            word = _Word((end - start, margin), start, end, best, float(chances[first, best]))
            known = found[item.text].setdefault(int(item.words[first]), word)
            if word.worth > known.worth:
                found[item.text][int(item.words[first])] = word
    return [[word for _, word in sorted(words.items())] for words in found]


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Returns a part without the space before it, which tokenizers on bytes count to a word."""
    return start + len(text[start:end]) - len(text[start:end].lstrip()), end


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
    """Returns what `join` does as a set."""
    return set(join(words))


def join(words: Sequence[str]) -> list[tuple[int, int, str]]:
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
    return found


register("entities", Entities())
