"""Every row comes out once, within the budget, in the order of priority, share and deadline."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from symbiont.inference.scheduling.call import Call, Entry
from symbiont.inference.scheduling.queue import FairQueue, Weights, class_weights
from symbiont.inference.types import Priority

QUANTUM = 32
MAKE = Callable[..., Call]
CALLS = st.lists(
    st.tuples(
        st.lists(st.integers(1, 60), min_size=1, max_size=12),
        st.sampled_from("abc"),
        st.sampled_from(Priority),
        st.floats(50, 200),
        st.booleans(),
    ),
    max_size=30,
)


def entry(call: Call) -> Entry:
    return Entry(call, range(len(call.rows)), QUANTUM)


def drain(queue: FairQueue, rows: int = 4, tokens: int = 64, latest: float = 0) -> list[list[tuple[Call, int]]]:
    """Takes everything out; returns the requests, as calls and rows of them."""
    requests = []
    while queue.rows:
        taken = queue.take(rows, tokens, latest)
        requests.append([(piece.call, index) for piece in taken.pieces for index in piece.indices])
    return requests


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS, st.integers(1, 8), st.integers(8, 128))
async def test_every_row_comes_out_once(call: MAKE, calls: list[tuple], rows: int, tokens: int) -> None:
    queue, expected, now = FairQueue(Weights({"a": 3}), QUANTUM), Counter[tuple[Call, int]](), 100.0
    expired: set[Call] = set()
    for lengths, tenant, priority, expires, goes in calls:
        made = call(*lengths, tenant=tenant, priority=priority, expires=expires)
        waiting = entry(made)
        queue.add(waiting)
        if goes:
            queue.remove(waiting)
        elif expires <= now:
            expired.add(made)
        else:
            expected.update((made, index) for index in range(len(lengths)))
    found, dropped = Counter[tuple[Call, int]](), set[Call]()
    while queue.rows:
        taken = queue.take(rows, tokens, now)
        dropped.update(gone.call for gone in taken.expired)
        request = [(piece.call, index) for piece in taken.pieces for index in piece.indices]
        sizes = [one.lengths[index] for one, index in request]
        assert len(request) <= rows
        assert sum(sizes) <= tokens or len(taken.pieces) == 1
        found.update(request)
    assert found == expected
    assert dropped == expired
    assert (queue.tokens, queue.rows, queue.tenants, queue.remembered) == (0, 0, 0, 0)


async def test_a_row_that_is_larger_than_a_request_goes_alone(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    for _ in range(2):
        queue.add(entry(call(500)))
    assert [len(request) for request in drain(queue)] == [1, 1]


async def test_the_more_urgent_goes_first_and_nobody_starves(call: MAKE) -> None:
    queue = FairQueue(Weights(classes=class_weights(1 / 16)), QUANTUM)
    for _ in range(160):
        queue.add(entry(call(*[8] * 4, priority=Priority.BATCH)))
        queue.add(entry(call(*[8] * 4, priority=Priority.INTERACTIVE)))
    order = [one.turn.priority for request in drain(queue) for one, _ in request]
    assert order[:4] == [Priority.INTERACTIVE] * 4
    half = Counter(order[: len(order) // 2])
    assert half[Priority.BATCH] == pytest.approx(len(order) / 2 / 16, rel=0.1)


@pytest.mark.parametrize(("weights", "share"), [({}, 1 / 2), ({"small": 3.0}, 3 / 4)])
async def test_tenants_share_by_weight_whatever_they_ask(call: MAKE, weights: dict[str, float], share: float) -> None:
    queue = FairQueue(Weights(weights), QUANTUM)
    for _ in range(400):
        # Ten times as much, in large calls against small ones.
        queue.add(entry(call(*[20] * 8, tenant="large")))
        queue.add(entry(call(8, 8, tenant="small")))
    tokens: Counter[str] = Counter()
    while queue.tokens_of(call(1, tenant="small").turn):
        for piece in queue.take(4, 64, 0).pieces:
            tokens[piece.call.turn.tenant] += piece.tokens
    assert tokens["small"] / tokens.total() == pytest.approx(share, rel=0.05)


async def test_a_small_call_does_not_wait_for_a_large_one(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    queue.add(entry(call(*[16] * 1024, tenant="large")))
    small = call(16, tenant="small")
    queue.add(entry(small))
    requests = drain(queue)
    assert any(one is small for one, _ in requests[0])


async def test_a_tenants_own_calls_go_by_deadline(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    late, soon, also_soon = (call(16, expires=expires) for expires in (300.0, 200.0, 200.0))
    for one in (late, soon, also_soon):
        queue.add(entry(one))
    assert [one for request in drain(queue) for one, _ in request] == [soon, also_soon, late]


async def test_rows_of_a_large_call_go_with_those_of_their_length(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    queue.add(entry(call(30, 2, 31, 3, 29, 1)))
    assert [[one.lengths[index] for one, index in request] for request in drain(queue, 3)] == [
        [1, 2, 3],
        [29, 30],
        [31],
    ]
    # A small one stays in its order.
    queue.add(entry(call(3, 1, 2)))
    assert [index for request in drain(queue) for _, index in request] == [0, 1, 2]


async def test_calls_that_are_withdrawn_leave_nothing(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    stays = entry(call(1, expires=1.0))
    queue.add(stays)
    for number in range(10_000):
        gone = entry(call(4, 4, expires=2.0 + number))
        queue.add(gone)
        queue.remove(gone)
    # What is in the heap of the tenant, whose only call that waits has the earliest deadline.
    (tenant,) = queue._classes[Priority.INTERACTIVE].tenants.values()
    assert len(tenant._heap) < 16
    assert len(tenant._by_slot) == 1
    assert (queue.tokens, queue.rows) == (1, 1)


async def test_tokens_ahead(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    turn = call(1, tenant="new", expires=100.0).turn
    assert queue.ahead(turn) == 0
    queue.add(entry(call(*[10] * 100, tenant="old", expires=200.0)))
    # The present turns of both, not all that the other waits for.
    assert queue.ahead(turn) == 2 * QUANTUM
    assert queue.ahead(call(1, tenant="old", expires=100.0).turn) == QUANTUM
    assert queue.ahead(call(1, tenant="old", expires=200.0).turn) == 1000
    assert queue.ahead(call(1, tenant="old", expires=200.0, priority=Priority.BATCH).turn) == 0


async def test_a_tenant_may_be_left_out_whosever_turn_it_is(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    for tenant, priority in (("flood", Priority.INTERACTIVE), ("late", Priority.BATCH), ("flood", Priority.BATCH)):
        queue.add(entry(call(*[8] * 6, tenant=tenant, priority=priority)))
    assert queue.has_others("flood")
    taken = queue.take(64, 64, 0, without="flood")
    assert [(piece.call.turn.tenant, len(piece.indices)) for piece in taken.pieces] == [("late", 4), ("late", 2)]
    assert not queue.has_others("flood")
    assert queue.take(64, 64, 0, without="flood").pieces == []
    assert (queue.rows, queue.flooding(50), queue.flooding(100)) == (12, "flood", "")


async def test_where_many_tenants_wait_none_floods(call: MAKE) -> None:
    queue = FairQueue(Weights(), QUANTUM)
    queue.add(entry(call(*[8] * 60, tenant="flood")))
    for number in range(15):
        queue.add(entry(call(1, tenant=f"t{number}")))
    assert queue.flooding(40) == "flood"
    queue.add(entry(call(1, tenant="one more")))
    assert queue.flooding(40) == ""
