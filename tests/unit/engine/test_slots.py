import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from symbiont.common.errors import IntegrityError, NotFound
from symbiont.engine.slots import BASE_SLOT, BundleBank, Content, Slot


class Loader:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, digest: str) -> Content:
        self.calls.append(digest)
        if digest.startswith("bad"):
            raise IntegrityError(digest)
        return Content(None, None)


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_the_empty_digest_is_slot_zero(loader):
    with BundleBank(loader, 1).hold([""]) as held:
        assert held[""] is BASE_SLOT
    assert loader.calls == []


def test_a_resident_bundle_is_not_loaded_again(loader):
    bank = BundleBank(loader, 4)
    for _ in range(3):
        with bank.hold(["a"]):
            pass
    assert loader.calls == ["a"]
    assert bank.is_resident("a")


def test_the_least_recently_used_goes_first(loader):
    bank = BundleBank(loader, 2)
    for digest in "ababac":
        with bank.hold([digest]):
            pass
    assert bank.digests() == ["a", "c"]


def test_a_bundle_in_use_stays_and_more_than_max_slots_may_be_in_use(loader):
    bank = BundleBank(loader, 1)
    with bank.hold(["a", "b", "c"]) as held:
        assert all(isinstance(slot, Slot) for slot in held.values())
        with bank.hold(["d"]):
            assert bank.digests() == ["a", "b", "c", "d"]
    assert len(bank.digests()) == 1


def test_a_new_slot_never_takes_an_old_number(loader):
    bank = BundleBank(loader, 1)
    numbers = []
    for digest in "abab":
        with bank.hold([digest]) as held:
            numbers.append(held[digest].number)
    assert len(set(numbers)) == 4


def test_a_bad_bundle_comes_as_its_error(loader):
    with BundleBank(loader, 2).hold(["bad", "good"]) as held:
        assert isinstance(held["bad"], IntegrityError)
        assert isinstance(held["good"], Slot)


def test_a_bundle_that_appears_later_is_found(loader):
    there: list[str] = []

    def load(digest: str) -> Content:
        if digest not in there:
            raise NotFound(digest)
        return Content(None, None)

    bank = BundleBank(load, 2)
    with bank.hold(["a"]) as held:
        assert isinstance(held["a"], NotFound)
    there.append("a")
    with bank.hold(["a"]) as held:
        assert isinstance(held["a"], Slot)


def test_concurrent_users_load_once():
    calls: list[str] = []
    started = threading.Event()
    go = threading.Event()

    def load(digest: str) -> Content:
        calls.append(digest)
        started.set()
        go.wait(5)
        if digest == "bad":
            raise IntegrityError(digest)
        return Content(None, None)

    bank = BundleBank(load, 2)

    def use(digest: str) -> object:
        with bank.hold([digest]) as held:
            return held[digest]

    for digest, kind in (("good", Slot), ("bad", IntegrityError)):
        started.clear(), go.clear(), calls.clear()
        with ThreadPoolExecutor(4) as pool:
            users = [pool.submit(use, digest) for _ in range(4)]
            assert started.wait(5)
            assert not bank.is_resident(digest)
            go.set()
            assert all(isinstance(user.result(), kind) for user in users)
        # A failure is not remembered: a user who came after it may have tried again.
        assert calls == ["good"] if kind is Slot else set(calls) == {"bad"}
