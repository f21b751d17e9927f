"""What goes over the wire comes back as it was."""

import numpy as np
import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.engine.generation import wire
from symbiont.engine.generation.types import Finish, Piece, Sampling

SAMPLING = Sampling(0.5, 0.25, 40, 1.5, 2**32 - 1)


def test_requests():
    tensors = wire.pack_request(np.array([1, 2, 3], np.int32), 7, SAMPLING, 1.5)
    ids, *rest = wire.unpack_request(tensors)
    assert (ids.tolist(), *rest) == ([1, 2, 3], 7, SAMPLING, 1.5)
    assert wire.stopped_by(tensors) is None


def test_stops():
    assert wire.stopped_by(wire.pack_stop("é.1")) == "é.1"


@pytest.mark.parametrize("piece", [Piece([5], None, 0.25), Piece([], Finish.CANCELLED), Piece([1, 2], Finish.EOS, 2.0)])
def test_pieces(piece):
    assert wire.unpack_piece(wire.pack_piece(piece)) == piece


@pytest.mark.parametrize("name", [name for name in wire.INPUTS if name != wire.STOP])
def test_a_request_that_lacks_a_tensor_is_refused(name):
    tensors = wire.pack_request(np.array([1], np.int32), 7, SAMPLING, 1.5)
    del tensors[name]
    with pytest.raises(InvalidArgument) as caught:
        wire.unpack_request(tensors)
    assert caught.value.field == name
