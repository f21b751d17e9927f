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
