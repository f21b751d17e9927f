"""Rows wait for their bundle, and a few bundles are loaded at a time."""

from collections.abc import Callable

from symbiont.inference.scheduling.call import Call, Entry
from symbiont.inference.scheduling.parking import Parking


def entry(call: Call) -> Entry:
    return Entry(call, range(len(call.rows)), 100)


async def test_bundles_are_loaded_in_the_order_of_their_rows(call: Callable[..., Call]) -> None:
    parking = Parking(2)
    for bundle in ("a", "b", "a", "c"):
        parking.add(bundle, entry(call(3, 4)))
    assert [parking.next() for _ in range(3)] == ["a", "b", None]
    assert (parking.rows, parking.tokens) == (8, 28)
    pieces = parking.take("a", 3, 100)
    assert [list(piece.indices) for piece in pieces] == [[0, 1], [0]]
    assert (parking.rows, parking.tokens) == (5, 18)
    # What is left of the second call need not wait any more.
    assert [len(left) for left in parking.loaded("a", done=True)] == [1]
    assert parking.next() == "c"
    assert parking.loaded("b", done=False) == []
    assert parking.next() == "b"


async def test_who_goes_leaves_nothing(call: Callable[..., Call]) -> None:
    parking = Parking(1)
    gone = entry(call(3))
    parking.add("a", gone)
    assert parking.remove(gone)
    assert not parking.remove(gone)
    assert (parking.rows, parking.tokens, parking.next()) == (0, 0, None)


async def test_a_row_that_is_larger_than_a_request_goes_alone(call: Callable[..., Call]) -> None:
    parking = Parking(1)
    for _ in range(2):
        parking.add("a", entry(call(50)))
    assert len(parking.take("a", 8, 20)) == 1
