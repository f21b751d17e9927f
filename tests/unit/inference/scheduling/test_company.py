"""Two tenants that ask within a few seconds are company, however often one of them does."""

from collections.abc import Callable

from symbiont.inference.scheduling.call import Call, Entry
from symbiont.inference.scheduling.company import Company
from symbiont.inference.scheduling.queue import FairQueue, Weights

CALLS = {"bank": [16] * 10, "shop": [5]}


def test_one_is_no_company() -> None:
    company = Company()
    assert not company.is_mixed(0.0)
    for now in range(10):
        company.note("bank", float(now))
        assert not company.is_mixed(float(now))


def test_two_are_until_one_has_not_come_back() -> None:
    company = Company()
    company.note("bank", 1.0)
    company.note("shop", 2.0)
    for now in (2.0, 3.0, 5.9):
        company.note("bank", now)
        assert company.is_mixed(now)
    # Five seconds after the other's last call.
    company.note("bank", 7.1)
    assert not company.is_mixed(7.1)
    company.note("shop", 20.0)
    assert not company.is_mixed(20.0)
    company.note("bank", 20.5)
    assert company.is_mixed(20.5)


async def test_who_floods_does_so_until_it_has_waited_for_nothing_for_a_while(call: Callable[..., Call]) -> None:
    company, queue = Company(), FairQueue(Weights(), 64)
    many, few = (Entry(call(*lengths, tenant=name), range(len(lengths)), 64) for name, lengths in CALLS.items())
    queue.add(many)
    company.note("bank", 1.0)
    # Nobody else is there.
    assert company.flooding(queue, 64, 1.0) == ""
    queue.add(few)
    company.note("shop", 2.0)
    assert company.flooding(queue, 64, 2.0) == "bank"
    queue.remove(many)
    assert [company.flooding(queue, 64, now) for now in (2.5, 3.9, 4.1)] == ["bank", "bank", ""]
    # More of others than a request holds is no lull.
    queue.add(Entry(call(*[16] * 8, tenant="third"), range(8), 64))
    queue.add(Entry(call(*[16] * 8, tenant="fourth"), range(8), 64))
    assert company.flooding(queue, 64, 2.5) == ""
