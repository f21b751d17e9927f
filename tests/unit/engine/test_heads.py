"""A head that fails has its own rows fail, whatever its layers do; the rows beside them are answered."""

from dataclasses import replace

import numpy as np
import pytest

from support.bundles import random_rows
from symbiont.common.errors import IntegrityError
from symbiont.engine import engine as engine_module
from symbiont.engine.heads import Head, Layer, NoHead, apply_heads, head_of
from symbiont.engine.row import NO_FEATURES, Row
from symbiont.engine.runtime import Array

LAYER = Layer(np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32))


def refuses_many(rows: Array) -> Array:
    """Computes as many rows as a bundle is tried with, and no more."""
    if len(rows) > 3:
        raise RuntimeError("ordered by the test")
    return rows


def one_for_all(rows: Array) -> Array:
    return rows.mean(0, keepdims=True)


@pytest.mark.parametrize("own", [refuses_many, one_for_all, lambda rows: rows[0], lambda rows: rows[:, :2]])
def test_a_head_that_fails_fails_its_own_rows(own):
    rows = [np.full(3, n, np.float32) for n in range(9)]
    good, bad = Head("mean", LAYER), Head("mean", LAYER, own=own)
    heads = [good, bad, bad, None, bad, bad, NoHead("mean"), bad, good]
    answers = apply_heads(rows, [NO_FEATURES] * 9, heads)
    for row, (head, answer) in enumerate(zip(heads, answers, strict=True)):
        if head is bad:
            assert isinstance(answer, IntegrityError)
        else:
            np.testing.assert_array_equal(answer, LAYER(rows[row][None])[0] if head is good else rows[row])


def test_rows_of_tokens_too():
    rows = [np.full((length, 3), length, np.float32) for length in (2, 4, 3)]
    good, bad = Head("tokens", LAYER), Head("tokens", LAYER, own=refuses_many)
    first, second, third = apply_heads(rows, [NO_FEATURES] * 3, [good, bad, good])
    assert isinstance(second, IntegrityError)
    for row, answer in ((rows[0], first), (rows[2], third)):
        np.testing.assert_array_equal(answer, LAYER(row))


def test_an_engine_answers_what_stands_beside_them(world, make_engine, monkeypatch):
    bad, good = world.bundles[2], world.bundles[0]
    engine, ids = make_engine(), random_rows(1, seed=4)[0]
    expected = engine.infer([Row(ids, good)])[0]
    monkeypatch.setattr(engine_module, "head_of", lambda *given: replace(head_of(*given), own=refuses_many))
    assert isinstance(engine.infer([Row(ids, bad)])[0], np.ndarray)
    monkeypatch.undo()
    *failed, answer = engine.infer([*[Row(ids, bad)] * 4, Row(ids, good)])
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
    assert all(isinstance(error, IntegrityError) and bad in str(error) for error in failed)
