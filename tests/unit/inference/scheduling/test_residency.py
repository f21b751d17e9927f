"""What a host has in memory is guessed from what it answered."""

from symbiont.inference.scheduling.residency import Residency


def test_the_bundles_used_last_are_there() -> None:
    residency = Residency(2)
    assert "" in residency
    assert "a" not in residency
    for bundle in ("a", "b", "a", "c", ""):
        residency.use(bundle)
    assert [bundle for bundle in "abc" if bundle in residency] == ["a", "c"]
    residency.clear()
    assert len(residency) == 0
    assert "" in residency


def test_servers_that_share_the_bundles_have_room_for_as_many_each() -> None:
    servers = 2
    residency = Residency(2, lambda: servers)
    for bundle in "abcd":
        residency.use(bundle)
    assert all(bundle in residency for bundle in "abcd")
    servers = 1
    residency.use("d")
    assert [bundle for bundle in "abcd" if bundle in residency] == ["c", "d"]
