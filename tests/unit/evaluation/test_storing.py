import contextlib
import io
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from support.outcomes import EVERY
from symbiont.common.errors import IntegrityError
from symbiont.evaluation.outcomes import Outcome, Ragged
from symbiont.evaluation.storing import outcome_from_bytes, outcome_to_bytes


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Ragged):
        assert isinstance(other, Ragged)
        return same(one.offsets, other.offsets) and same(one.values, other.values)
    return one == other


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_what_is_stored_comes_back(outcome: Outcome) -> None:
    back = outcome_from_bytes(outcome_to_bytes(outcome))
    assert type(back) is type(outcome)
    for part in fields(outcome):
        if part.name != "rows":
            assert same(getattr(outcome, part.name), getattr(back, part.name)), part.name
    for name in ("ids", "tokens", "groups"):
        assert same(getattr(outcome.rows, name), getattr(back.rows, name)), name
    assert [part.values for part in back.rows.slices] == [part.values for part in outcome.rows.slices]
    assert all(same(a.codes, b.codes) for a, b in zip(back.rows.slices, outcome.rows.slices, strict=True))


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_equal_outcomes_have_equal_bytes_and_no_text(outcome: Outcome) -> None:
    data = outcome_to_bytes(outcome)
    assert data == outcome_to_bytes(outcome_from_bytes(data))
    with np.load(io.BytesIO(data)) as file:
        assert not any(b"secret" in file[name].tobytes() for name in file.files)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 99])
def test_what_is_damaged_is_refused(damage) -> None:
    with pytest.raises(IntegrityError):
        outcome_from_bytes(damage(outcome_to_bytes(EVERY["classified"])))


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_any_damage_is_refused_or_harmless(outcome: Outcome) -> None:
    random, data = np.random.default_rng(0), bytearray(outcome_to_bytes(outcome.take(np.arange(20))))
    for _ in range(150):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), int(random.integers(1, 4))):
            damaged[place] = int(random.integers(0, 256))
        # What no one can tell is read as an outcome; whatever else must be said in one way.
        with contextlib.suppress(IntegrityError):
            outcome_from_bytes(bytes(damaged))


def test_a_header_that_does_not_end_is_refused() -> None:
    """Found by chance: numpy takes it for one of Python 2."""
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (3\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("meta.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(IntegrityError, match="EOF in multi-line"):
        outcome_from_bytes(stream.getvalue())


def test_objects_are_refused() -> None:
    stream = io.BytesIO()
    np.savez(stream, meta=np.array([{}], object))
    with pytest.raises(IntegrityError):
        outcome_from_bytes(stream.getvalue())
