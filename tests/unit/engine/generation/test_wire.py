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
    assert wire.named(tensors, wire.STOP) is None


def test_stops_and_renewals():
    stop, renewal = wire.pack_stop("é.1"), wire.pack_renewal("é.2")
    assert (wire.named(stop, wire.STOP), wire.named(stop, wire.RENEW)) == ("é.1", None)
    assert (wire.named(renewal, wire.STOP), wire.named(renewal, wire.RENEW)) == (None, "é.2")


@pytest.mark.parametrize("piece", [Piece([5], None, 0.25), Piece([], Finish.CANCELLED), Piece([1, 2], Finish.EOS, 2.0)])
def test_pieces(piece):
    assert wire.unpack_piece(wire.pack_piece(piece)) == piece


@pytest.mark.parametrize("name", [name for name in wire.INPUTS if name not in (wire.STOP, wire.RENEW)])
def test_a_request_that_lacks_a_tensor_is_refused(name):
    tensors = wire.pack_request(np.array([1], np.int32), 7, SAMPLING, 1.5)
    del tensors[name]
    with pytest.raises(InvalidArgument) as caught:
        wire.unpack_request(tensors)
    assert caught.value.field == name
