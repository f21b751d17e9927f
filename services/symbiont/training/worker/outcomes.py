"""What a network or a bundle said of held-out rows, as an evaluation takes it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from symbiont.evaluation import Classified, MultiLabelled, Outcome
from symbiont.training.data.judged import judged_rows
from symbiont.training.heads import Head, Material


def outcome_of(
    head: Head,
    settings: Any,
    outputs: Sequence["np.ndarray[Any, Any]"],
    judged: Material,
    temperature: float = 1.0,
) -> Outcome:
    """Returns what was said, beside what is true; of texts that are read in windows, once for each text.

    Args:
        head: that answered.
        settings: by which it did.
        outputs: of each example of `judged`, as `infer` returns them.
        judged: the rows as the network took them, read from the store.
        temperature: that logits are divided by.
    """
    rows = judged_rows(judged.rows, lengths(judged))
    said, whole = head.by_row(outputs, judged) if len(outputs) > len(judged.rows) else (outputs, judged)
    outcome = head.outcome(settings, said, whole, rows)
    return replace(outcome, temperature=temperature) if isinstance(outcome, Classified | MultiLabelled) else outcome


def lengths(judged: Material) -> list[int]:
    """Returns the tokens of each row, those of all its windows together."""
    if not judged.encoded:
        return [len(example) for example in judged.examples]
    total = np.zeros(len(judged.rows), np.int64)
    for item in judged.encoded:
        total[item.text] += len(item.ids)
    return [int(count) for count in total]
