"""Answers to a question as parts of a context (as in SQuAD 2.0, arXiv 1806.03822)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbiont.bundle import SpanHead
from symbiont.common.offsets import OffsetUnit, places
from symbiont.inference.instances import QuestionContext
from symbiont.inference.results import AnswerSpan, AnswerSpans
from symbiont.inference.tasks.plan import (
    OVERLAP,
    Part,
    Plan,
    Window,
    Windows,
    by_token,
    join,
    no_fields,
    probability_threshold,
    wrong_input,
)
from symbiont.inference.types import BundleInfo, PredictCall

_PORTION, _GROWTH = 512, 8


@dataclass(frozen=True, eq=False)
class Scored:
    """Possible answers: scores [n] with where they begin and end in the context, [n] each, in code points."""

    scores: NDArray[np.float64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def plan_spans(call: PredictCall, bundle: BundleInfo) -> Plan:
    """The best parts of a context, which is read in windows that overlap where it is long."""
    least = probability_threshold(call, 0.0)
    parts = []
    for index, instance in enumerate(call.instances):
        field, given = f"instances[{index}]", instance.input
        no_fields(field, instance)
        if not isinstance(given, QuestionContext):
            raise wrong_input(field, given, bundle, QuestionContext)
        parts.append(_part(given, call, bundle, least))
    return join(parts, stride=bundle.max_tokens // OVERLAP, places=True)


def _part(given: QuestionContext, call: PredictCall, bundle: BundleInfo, least: float) -> Part:
    head = bundle.head
    assert isinstance(head, SpanHead)  # noqa: S101 - the task has chosen this function

    def read(texts: Sequence[Windows]) -> AnswerSpans:
        scored, none = score(texts[0], head.max_answer_tokens)
        return answers(
            scored, none, given.context, call.offset_unit, call.top_k or 1, least, always=head.always_answers
        )

    return Part([given.question], read, [given.context])


def score(windows: Windows, max_answer_tokens: int) -> tuple[Scored, float]:
    """Returns every possible answer of all windows, and the score of there being none.

    An answer's score is the sum of the logits of its begin and its end. That there is none, every window must say: its
    score is the least of theirs.
    """
    found, none = [], float("inf")
    for window in windows:
        values = by_token(window, 2).astype(np.float64)
        none = min(none, float(values[0].sum()))
        found.append(_spans(values, window, max_answer_tokens))
    scored = Scored(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    # Two windows may hold the same part: the better score stands. Those of a window come in this order already, which
    # the sort makes use of.
    keys = scored.starts * (scored.ends.max(initial=0) + 1) + scored.ends
    order = np.argsort(keys, kind="stable")
    fresh = np.flatnonzero(np.diff(keys[order], prepend=-1))
    kept = order[fresh]
    best = np.maximum.reduceat(scored.scores[order], fresh) if len(fresh) else scored.scores
    return Scored(best, scored.starts[kept], scored.ends[kept]), none


def _spans(
    values: NDArray[np.float64], window: Window, max_answer_tokens: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    there = window.places
    assert there is not None  # noqa: S101 - they were asked for
    context = np.flatnonzero(there.sequences == 1)
    begins, ends = values[context, 0], values[context, 1]
    longest = min(max_answer_tokens, len(context))
    # Not every pair: of most of them the end is too far, or before the begin.
    first, more = np.indices((len(context), longest)).reshape(2, -1)
    last = first + more
    first, last = first[last < len(context)], last[last < len(context)]
    starts, stops = there.starts[context[first]], there.ends[context[last]]
    return begins[first] + ends[last], starts.astype(np.int64), stops.astype(np.int64)


def answers(
    scored: Scored, none: float, context: str, unit: OffsetUnit, most: int, least: float, *, always: bool = False
) -> AnswerSpans:
    """Returns the best `most` answers that do not overlap; unless `always`, only those more probable than none."""
    highest = max(none, float(scored.scores.max(initial=none)))
    weights = np.exp(scored.scores - highest)
    nothing = float(np.exp(none - highest))
    total = float(weights.sum()) + nothing
    where, chosen = places(context, unit), list[AnswerSpan]()
    taken = np.zeros(len(context), bool)
    for index in _best_first(scored, taken):
        start, end = _trimmed(context, int(scored.starts[index]), int(scored.ends[index]))
        probability = float(weights[index]) / total
        if len(chosen) == most or probability < least or (weights[index] < nothing and not always):
            break
        if start < end and not taken[start:end].any():
            taken[start:end] = True
            chosen.append(AnswerSpan(context[start:end], where[start], where[end], probability))
    return AnswerSpans(chosen, nothing / total)


def _best_first(scored: Scored, taken: NDArray[np.bool_]) -> Iterator[int]:
    """Yields answers, best first, in growing portions: most callers want one of very many.

    Of a portion those are left out that overlap with what was `taken` before it.
    """
    seen, size = 0, _PORTION
    while seen < len(scored.scores):
        size = min(size, len(scored.scores))
        least = -np.partition(-scored.scores, size - 1)[size - 1]
        # All that are as good as the last one, so that the order of equal ones does not depend on the portions.
        among = np.flatnonzero(scored.scores >= least)
        portion = among[np.argsort(-scored.scores[among], kind="stable")[seen:]]
        before = np.concatenate([[0], np.cumsum(taken)])
        yield from portion[before[scored.ends[portion]] == before[scored.starts[portion]]].tolist()
        seen, size = len(among), _GROWTH * len(among)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
