"""Answers become tokens of windows, and what the head gives becomes answers, as in serving."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from symbiont.bundle import SpanHead
from symbiont.common.offsets import OffsetUnit
from symbiont.inference.tasks import spans as serving
from symbiont.inference.tasks.plan import Window
from symbiont.inference.tokens import Places
from symbiont.training.data.rows import Row
from symbiont.training.heads.spans import Spans, answer, bounds
from symbiont.training.spec import SpansHead
from symbiont.training.worker.examples import Encoded

CONTEXT = "the bank opens at nine on monday"
QUESTION_TOKENS = 3


def window(first: int, last: int) -> Encoded:
    """A window of the words of the context, behind a question of three tokens and a special one on either side."""
    starts = [i for i, c in enumerate(CONTEXT) if i == 0 or CONTEXT[i - 1] == " "][first:last]
    ends = [(CONTEXT + " ").index(" ", start) for start in starts]
    count = len(starts)
    sequences = np.array([-1, 0, 0, 0, -1, *[1] * count, -1])
    places = [np.array([0, 0, 2, 4, 0, *values, 0]) for values in (starts, ends)]
    return Encoded(np.arange(len(sequences)), 0, QUESTION_TOKENS + 2, sequences, sequences, *places)


def test_an_answer_is_tokens_of_each_window_that_has_it_whole() -> None:
    nine = CONTEXT.index("nine")
    place = (nine, nine + len("nine on monday"))
    assert bounds(window(0, 7), [place]) == (9, 11)
    assert bounds(window(2, 7), [place]) == (7, 9)
    # Half of it is none, and so is an answer that is elsewhere, and none at all.
    assert bounds(window(0, 6), [place]) == (0, 0)
    assert bounds(window(0, 3), [place]) == (0, 0)
    assert bounds(window(0, 7), []) == (0, 0)
    # Of several, the first that is there.
    assert bounds(window(0, 3), [(0, 3), place]) == (5, 5)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_the_answer_is_the_one_that_is_served(seed: int, two_windows: bool, always: bool) -> None:
    random = np.random.default_rng(seed)
    windows = [window(0, 5), window(3, 7)] if two_windows else [window(0, 7)]
    outputs = [random.normal(size=(len(item.ids), 2)).astype(np.float32) for item in windows]
    found = answer(outputs, windows, SpansHead(max_answer_tokens=3, always_answers=always))
    served = [
        Window(
            values.ravel(),
            item.ids.astype(np.int32),
            Places(*(np.asarray(part, np.int32) for part in (item.sequences, item.words, item.starts, item.ends))),
        )
        for values, item in zip(outputs, windows, strict=True)
    ]
    head = SpanHead(hidden_size=8, max_answer_tokens=3)
    scored, none = serving.score(served, head.max_answer_tokens)
    answers = serving.answers(scored, none, CONTEXT, OffsetUnit.CODE_POINT, 1, 0.0, always=always).spans
    assert (CONTEXT[slice(*found)] if found else None) == (answers[0].text if answers else None)
    assert found or not always


def test_who_has_learnt_of_none_without_an_answer_answers_always() -> None:
    with_answer, without = Row("q", ((0, 3),), pair=CONTEXT), Row("q", (), pair=CONTEXT)
    head, outputs = Spans(), [np.zeros((13, 2), np.float32)]
    # That there is none is the most probable by far, and then that it is one word.
    outputs[0][0] = 9.0
    outputs[0][7] = 1.0
    for rows, always in (([with_answer], True), ([with_answer, without], False)):
        settings = head.fit(SpansHead(), rows)
        assert settings.always_answers is always
        found = answer(outputs, [window(0, 7)], settings)
        assert (found and CONTEXT[slice(*found)]) == ("opens" if always else None)
        assert head.entry(settings, 8, None).always_answers is always
    assert head.fit(SpansHead(always_answers=False), [with_answer]).always_answers is False


def test_who_is_trained_on_answers_as_before_unless_it_is_said() -> None:
    rows = [Row("q", ((0, 3),), pair=CONTEXT)]
    for before in (False, True):
        entry = SpanHead(hidden_size=8, always_answers=before)
        assert Spans().fit_as(SpansHead(), rows, entry).always_answers is before
        assert Spans().fit_as(SpansHead(always_answers=not before), rows, entry).always_answers is not before
