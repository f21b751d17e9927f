import numpy as np
import pytest

from support.bundles import random_rows
from symbiont.common.errors import (
    IntegrityError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine import wire
from symbiont.engine.engine import Row


def test_rows_survive_packing():
    rows = [Row(ids, bundle) for ids, bundle in zip(random_rows(3), ["", "a" * 64, "b" * 64], strict=True)]
    packed = wire.pack_rows(rows)
    assert [tensor.shape[0] for tensor in packed] == [1, 1, 1]
    for row, again in zip(rows, wire.unpack_rows(*packed), strict=True):
        np.testing.assert_array_equal(row.input_ids, again.input_ids)
        assert row.bundle == again.bundle


def test_unpacked_rows_do_not_share_the_request_memory():
    ids, lengths, digests = wire.pack_rows([Row(np.array([1, 2], np.int32))])
    row = wire.unpack_rows(ids, lengths, digests)[0]
    ids[:] = 9
    assert row.input_ids.tolist() == [1, 2]


def test_answers_of_different_sizes_survive_packing():
    answers = [np.arange(n, dtype=np.float32) for n in (3, 1, 384)]
    for answer, again in zip(answers, wire.unpack_answers(*wire.pack_answers(answers)), strict=True):
        np.testing.assert_array_equal(answer, again)


def test_an_error_stands_in_the_place_of_its_row():
    answers = [np.ones(2, np.float32), NotFound("bundles/贷: gone"), np.zeros(3, np.float32)]
    first, error, last = wire.unpack_answers(*wire.pack_answers(answers))
    np.testing.assert_array_equal(first, answers[0])
    np.testing.assert_array_equal(last, answers[2])
    assert (type(error), str(error)) == (NotFound, "bundles/贷: gone")


@pytest.mark.parametrize(
    ("ids", "lengths", "digests", "field"),
    [
        ([1, 2], [], [], "ROW_LENGTHS"),
        ([1, 2], [3], [b""], "ROW_LENGTHS"),
        ([1, 2], [2, 0], [b"", b""], "ROW_LENGTHS"),
        ([1, 2], [3, -1], [b"", b""], "ROW_LENGTHS"),
        ([1, 2], [2**31 - 1, 2**31 - 1, 4], [b""] * 3, "ROW_LENGTHS"),
        ([1, 2], [2], [b"", b""], "BUNDLE_DIGEST"),
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(ids, lengths, digests, field):
    with pytest.raises(InvalidArgument) as caught:
        wire.unpack_rows(np.array(ids, np.int32), np.array(lengths, np.int32), np.array(digests, dtype=np.object_))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "error",
    [
        NotFound("bundles/x: not there"),
        IntegrityError("bundles/x: the answer is not finite"),
        Unavailable("try again"),
        ResourceExhausted("full"),
        InvalidArgument("rows[3].input_ids", "too long"),
        SymbiontError("broken"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_wire(error):
    text = f"Internal: TritonModelException: {wire.encode_error(error)}\n\nAt:\n  some/file.py(3): initialize"
    again = wire.decode_error(text)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.field == error.field


def test_what_others_wrote_is_not_ours():
    assert wire.decode_error("Request for unknown model: 'host-1' is not found") is None
