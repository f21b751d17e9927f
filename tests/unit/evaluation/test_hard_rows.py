import numpy as np
import pytest

from support.outcomes import EVERY, classified, retrieved, scored
from symbiont.evaluation.hard_rows import hardest
from symbiont.evaluation.metrics import classification
from symbiont.evaluation.outcomes import Outcome


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_there_are_as_many_as_asked_for_and_no_text(outcome: Outcome) -> None:
    rows = hardest(outcome, 7)
    assert len(rows) == 7
    assert "secret" not in str(rows)
    assert all(row.id == bytes(outcome.rows.ids[row.row]).hex() for row in rows)
    assert len(hardest(outcome, 10_000)) == len(outcome)
    assert hardest(outcome, 0) == []


def test_the_surest_errors_come_first() -> None:
    outcome = classified(200)
    rows = hardest(outcome, 200)
    wrong = int((~classification.right(outcome)).sum())
    assert [row.right for row in rows] == [False] * wrong + [True] * (200 - wrong)
    sure = [row.confidence or 0 for row in rows]
    assert sure[:wrong] == sorted(sure[:wrong], reverse=True)
    assert sure[wrong:] == sorted(sure[wrong:])
    first = rows[0]
    assert first.truth == outcome.labels[outcome.truth[first.row]]
    assert first.predicted == outcome.labels[int(outcome.logits[first.row].argmax())]


def test_without_probabilities_the_farthest_off_comes_first() -> None:
    outcome = scored(100)
    assert hardest(outcome, 1)[0].row == int(np.abs(outcome.predicted - outcome.truth).argmax())
    ranks = retrieved(100)
    assert int(hardest(ranks, 1)[0].predicted.lstrip("#")) == max(ranks.ranks.of(row)[0, 0] for row in range(100))
