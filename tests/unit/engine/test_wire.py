import math
import time

import numpy as np
import pytest

from support.bundles import random_rows
from symbiont.common.errors import (
    DeadlineExceeded,
    IntegrityError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine import wire
from symbiont.engine.row import Row, Times


def test_rows_survive_packing():
    rows = [
        Row(ids, bundle, start, np.arange(width, dtype=np.float32))
        for ids, bundle, start, width in zip(
            random_rows(3, seed=1), ["", "a" * 64, "b" * 64], [0, 2, 0], [0, 3, 1], strict=True
        )
    ]
    packed = wire.pack_rows(rows)
    assert {tensor.shape[0] for tensor in packed.values()} == {1}
    for row, again in zip(rows, wire.unpack_rows(packed), strict=True):
        np.testing.assert_array_equal(row.input_ids, again.input_ids)
        np.testing.assert_array_equal(row.features, again.features)
        assert (row.bundle, row.segment_start, row.expires) == (again.bundle, again.segment_start, again.expires)


def test_what_no_row_has_is_not_sent():
    assert set(wire.pack_rows([Row(np.array([1], np.int32))])) == {"INPUT_IDS", "ROW_LENGTHS", "BUNDLE_DIGEST"}


def test_the_time_left_survives_packing():
    now = time.monotonic()
    rows = [Row(np.array([1], np.int32), expires=now + left) for left in (60.0, math.inf, -5.0)]
    living, eternal, over = wire.unpack_rows(wire.pack_rows(rows))
    assert living.expires == pytest.approx(now + 60, abs=5)
    assert eternal.expires == math.inf
    assert over.expires <= time.monotonic() + 0.001


def test_unpacked_rows_do_not_share_the_request_memory():
    packed = wire.pack_rows([Row(np.array([1, 2], np.int32), features=np.ones(1, np.float32))])
    row = wire.unpack_rows(packed)[0]
    packed["INPUT_IDS"][:] = 9
    packed["FEATURES"][:] = 9
    assert row.input_ids.tolist() == [1, 2]
    assert row.features.tolist() == [1]


def test_answers_of_different_sizes_survive_packing():
    answers = [np.arange(n, dtype=np.float32) for n in (3, 1, 384)]
    got = wire.unpack_answers(wire.pack_answers(answers, Times(0.25, 0.5)))
    for answer, again in zip(answers, got.rows, strict=True):
        np.testing.assert_array_equal(answer, again)
    assert got.times == Times(0.25, 0.5)


def test_an_error_stands_in_the_place_of_its_row():
    answers = [np.ones(2, np.float32), NotFound("bundles/贷: gone"), np.zeros((3, 2), np.float32)]
    first, error, last = wire.unpack_answers(wire.pack_answers(answers)).rows
    np.testing.assert_array_equal(first, answers[0])
    np.testing.assert_array_equal(last, answers[2].reshape(-1))
    assert (type(error), str(error)) == (NotFound, "bundles/贷: gone")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"ROW_LENGTHS": [], "BUNDLE_DIGEST": []}, "ROW_LENGTHS"),
        ({"ROW_LENGTHS": [3]}, "ROW_LENGTHS"),
        ({"ROW_LENGTHS": [2, 0], "BUNDLE_DIGEST": [b"", b""]}, "ROW_LENGTHS"),
        ({"ROW_LENGTHS": [3, -1], "BUNDLE_DIGEST": [b"", b""]}, "ROW_LENGTHS"),
        ({"ROW_LENGTHS": [2**31 - 1, 2**31 - 1, 4], "BUNDLE_DIGEST": [b""] * 3}, "ROW_LENGTHS"),
        ({"BUNDLE_DIGEST": [b"", b""]}, "BUNDLE_DIGEST"),
        ({"SEGMENT_STARTS": [0, 1]}, "SEGMENT_STARTS"),
        ({"TIME_LEFT": []}, "TIME_LEFT"),
        ({"FEATURES": [0.5]}, "FEATURE_LENGTHS"),
        ({"FEATURES": [0.5], "FEATURE_LENGTHS": [2]}, "FEATURE_LENGTHS"),
        ({"FEATURES": [0.5], "FEATURE_LENGTHS": [1, 0]}, "FEATURE_LENGTHS"),
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(changed, field):
    tensors = {"INPUT_IDS": [1, 2], "ROW_LENGTHS": [2], "BUNDLE_DIGEST": [b""]} | changed
    types = {"BUNDLE_DIGEST": np.object_, "FEATURES": np.float32}
    with pytest.raises(InvalidArgument) as caught:
        wire.unpack_rows({name: np.array(values, types.get(name, np.int32)) for name, values in tensors.items()})
    assert caught.value.field == field


@pytest.mark.parametrize(
    "error",
    [
        NotFound("bundles/x: not there"),
        IntegrityError("bundles/x: the answer is not finite"),
        Unavailable("try again"),
        DeadlineExceeded("over"),
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
