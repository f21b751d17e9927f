"""What a network or a bundle said of held-out rows, as an evaluation takes it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from symbiont.bundle import SCORE_BINS, Profile, score_bin
from symbiont.evaluation import Classified, MultiLabelled, Outcome
from symbiont.evaluation.arrays import log_softmax
from symbiont.training.data.judged import judged_rows
from symbiont.training.heads import Head, Material, Rule


def outcome_of(
    head: Head,
    settings: Any,
    outputs: Sequence["np.ndarray[Any, Any]"],
    judged: Material,
    rule: Rule = Rule(),  # noqa: B008, frozen
) -> Outcome:
    """Returns what was said, beside what is true; of texts that are read in windows, once for each text.

    Args:
        head: that answered.
        settings: by which it did.
        outputs: of each example of `judged`, as `infer` returns them.
        judged: the rows as the network took them, read from the store.
        rule: by which it answers.
    """
    rows = judged_rows(judged.rows, lengths(judged))
    said, whole = head.by_row(outputs, judged) if len(outputs) > len(judged.rows) else (outputs, judged)
    outcome = head.outcome(settings, said, whole, rows)
    if isinstance(outcome, MultiLabelled):
        return replace(outcome, temperature=rule.temperature, thresholds=rule.thresholds)
    if isinstance(outcome, Classified):
        outcome = replace(outcome, temperature=rule.temperature, costs=settings.costs)
        # Of the labels that the network knows: others may stand behind them, and are never answered.
        return replace(outcome, answered=head.decide(settings, np.stack(said), rule)) if settings.costs else outcome
    return outcome


def profile_of(head: Head, settings: Any, outputs: Sequence["np.ndarray[Any, Any]"], rule: Rule) -> Profile | None:
    """Returns what a classifier answers on judged rows by its rule; None for other tasks, and without rows.

    Args:
        outputs: logits of each row, [labels].
    """
    if head.entry(settings, 1, "mean").kind != "classification" or not len(outputs):
        return None
    logits = np.stack(outputs).astype(np.float64)
    decided = head.decide(settings, logits, rule)
    probable = np.exp(log_softmax(logits / rule.temperature))[np.arange(len(logits)), decided]
    scores = np.bincount([score_bin(float(each)) for each in probable], minlength=SCORE_BINS)
    labels = np.bincount(decided, minlength=len(head.labels(settings)))
    return Profile(labels=tuple(map(int, labels)), scores=tuple(map(int, scores)))


def lengths(judged: Material) -> list[int]:
    """Returns the tokens of each row, those of all its windows together."""
    if not judged.encoded:
        return [len(example) for example in judged.examples]
    total = np.zeros(len(judged.rows), np.int64)
    for item in judged.encoded:
        total[item.text] += len(item.ids)
    return [int(count) for count in total]
