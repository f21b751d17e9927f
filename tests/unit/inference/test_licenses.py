"""The terms of bases are heard of, kept while the registry is away, and all of them count."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from support.waiting import until
from symbiont.common.errors import PermissionDenied, Unavailable
from symbiont.common.licenses import LicenseTerms
from symbiont.inference.licenses import LicenseMetrics, Licenses
from symbiont.inference.types import LicensedBase

DIGEST = "a" * 64
BANKS = LicenseTerms(tenants=("bank",))


class Bases:
    def __init__(self) -> None:
        self.known: list[LicensedBase] = []
        self.away = False
        self.asked = 0

    async def licensed(self) -> Sequence[LicensedBase]:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return self.known

    def have(self, *terms: LicenseTerms) -> None:
        self.known = [LicensedBase(f"bases/b{n}", DIGEST, "acme", "MIT", each) for n, each in enumerate(terms)]


@pytest.fixture
def bases() -> Bases:
    return Bases()


async def test_what_is_not_heard_of_may_be_used(bases: Bases) -> None:
    licenses = Licenses(bases, LicenseMetrics(CollectorRegistry()))
    licenses.check(DIGEST, "shop")
    bases.have(BANKS)
    await licenses.refresh()
    licenses.check("b" * 64, "shop")
    with pytest.raises(PermissionDenied, match=r"^model: the licence of bases/b0"):
        licenses.check(DIGEST, "shop")


async def test_all_names_of_the_same_content_count(bases: Bases) -> None:
    licenses = Licenses(bases, LicenseMetrics(CollectorRegistry()))
    bases.have(LicenseTerms(), BANKS)
    await licenses.refresh()
    with pytest.raises(PermissionDenied, match="bases/b1"):
        licenses.check(DIGEST, "shop")


async def test_a_base_of_a_models_own_has_the_terms_of_what_it_was_made_of(bases: Bases) -> None:
    own, derived = "e" * 64, "d" * 64
    licenses = Licenses(bases, LicenseMetrics(CollectorRegistry()), lineage={own: [own, derived, DIGEST]}.__getitem__)
    # Nothing is heard yet: it counts as the one at the beginning, whose provider all the others have.
    licenses.check(own, "shop")
    assert licenses.registered(own) == DIGEST
    bases.have(BANKS)
    bases.known.append(LicensedBase("bases/derived", derived, "acme", "MIT", LicenseTerms()))
    await licenses.refresh()
    assert licenses.registered(own) == derived
    licenses.check(own, "bank")
    with pytest.raises(PermissionDenied, match="bases/b0"):
        licenses.check(own, "shop")


@pytest.mark.parametrize(
    ("said", "shown"),
    [(["acme", ""], "acme"), (["sbert", "acme", "acme"], "acme, sbert"), (["", ""], "")],
)
async def test_content_under_several_names_has_one_provider(bases: Bases, said: list[str], shown: str) -> None:
    """A query that joins it to what was used must find one for each base."""
    registry = CollectorRegistry()
    LicenseMetrics(registry).update(
        [LicensedBase(f"bases/b{n}", DIGEST, who, "MIT", LicenseTerms()) for n, who in enumerate(said)]
    )
    (family,) = (one for one in registry.collect() if one.name == "symbiont_inference_base_info")
    assert {sample.labels["provider"] for sample in family.samples} == {shown}
    assert {sample.labels["name"] for sample in family.samples} == {f"bases/b{n}" for n in range(len(said))}


async def test_what_was_heard_goes_on_while_the_registry_is_away(bases: Bases) -> None:
    registry = CollectorRegistry()
    licenses = Licenses(bases, LicenseMetrics(registry), 0.001)
    bases.have(BANKS)
    following = asyncio.create_task(licenses.follow())
    await until(lambda: bases.asked > 1)
    bases.away = True
    asked = bases.asked
    await until(lambda: bases.asked > asked + 2)
    with pytest.raises(PermissionDenied):
        licenses.check(DIGEST, "shop")
    bases.away = False
    bases.have(LicenseTerms(expire_time=datetime(2199, 1, 1, tzinfo=UTC)))
    asked = bases.asked
    await until(lambda: bases.asked > asked + 2)
    licenses.check(DIGEST, "shop")
    labels = {"base": DIGEST[:12], "name": "bases/b0"}
    name = "symbiont_inference_base_license_end_timestamp_seconds"
    assert registry.get_sample_value(name, labels) == datetime(2199, 1, 1, tzinfo=UTC).timestamp()
    bases.have()
    await until(lambda: registry.get_sample_value(name, labels) is None)
    following.cancel()
