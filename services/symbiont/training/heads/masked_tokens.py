"""Tokens that were masked: what a base learns of the texts of a domain (Devlin et al. 2018, arXiv 1810.04805).

Which tokens those are changes from pass to pass, so that they are chosen when a step needs them (`worker/masking.py`);
and a network that gave a number for each token of the vocabulary would give too many to keep, so that it gives for each
text what comes of them (`worker/masked_network.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from symbiont.training.data.rows import Row
from symbiont.training.heads import Criterion, Encode, Head, Material, register
from symbiont.training.spec import MaskedTokensHead
from symbiont.training.types import Evaluation
from symbiont.training.worker.examples import Encoded, Example


class MaskedTokens(Head):
    """Cross entropy over the vocabulary, at the places of masked tokens; labels are not read."""

    on_tokens = True
    makes_base = True

    @override
    def material(self, settings: MaskedTokensHead, rows: Sequence[Row], encode: Encode, max_tokens: int) -> Material:
        """Reads every text on its own, long ones in windows beside each other."""
        texts = [text for row in rows for text in (row.text, row.pair) if text]
        # Where tokens stand in their texts is of no use here, and takes as much memory again.
        encoded = [replace(item, starts=None, ends=None) for item in encode(texts, stride=0, places=True)]
        counts = [masked_count(item, settings.mask_fraction) for item in encoded]
        examples = [Example(item.ids) for item in encoded]
        unlabelled = [replace(row, label=None) for row in rows]
        return Material(examples, torch.tensor(counts, dtype=torch.float32), unlabelled, encoded)

    @override
    def criterion(self, settings: MaskedTokensHead, targets: Tensor) -> Criterion:
        # Divided by the same number everywhere, not by the tokens of a part: parts of a step then add up to the step.
        tokens = max(float(targets.mean()), 1.0)

        def loss(outputs: Tensor, truth: Tensor) -> Tensor:
            return outputs[:, 0].sum() / (len(truth) * tokens)

        return loss

    @override
    def evaluate(
        self,
        settings: MaskedTokensHead,
        outputs: Sequence["np.ndarray[Any, Any]"],
        judged: Material,
        decided: Any = None,
    ) -> Evaluation:
        surprise, right, tokens = map(float, np.sum(np.asarray(outputs, np.float64), axis=0))
        metrics = figures(surprise / max(tokens, 1), right / max(tokens, 1))
        return Evaluation(
            row_count=len(judged.rows),
            accuracy=metrics["accuracy"],
            macro_f1=0.0,
            loss=metrics["loss"],
            labels=(),
            confusion_matrix=(),
            metrics=tuple(sorted({**metrics, "masked_tokens": tokens}.items())),
            primary_metric="accuracy",
        )


def figures(loss: float, accuracy: float) -> dict[str, float]:
    """Returns what is said of masked tokens; perplexity is the exponential of their mean loss."""
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": accuracy}


def masked_count(encoded: Encoded, fraction: float) -> int:
    """Returns how many tokens of a text are masked: the nearest number to the fraction, and one at least."""
    candidates = int((places_of(encoded) >= 0).sum())
    return min(max(round(fraction * candidates), 1), candidates)


def places_of(encoded: Encoded) -> "np.ndarray[Any, Any]":
    """Returns the sequence that each token is of; -1 for special tokens, which are never masked."""
    assert encoded.sequences is not None  # noqa: S101 - places were asked for
    return encoded.sequences


def compared(before: Evaluation, after: Evaluation) -> Evaluation:
    """Returns the later evaluation with the figures of the earlier one beside its own."""
    earlier = {f"{name}_before": value for name, value in figures(before.loss, before.accuracy).items()}
    return replace(after, metrics=tuple(sorted({**dict(after.metrics), **earlier}.items())))


register("masked_tokens", MaskedTokens())
