"""References are resolved from the table, which survives a registry that goes and comes."""

from typing import Any

import pytest

from symbiont.common.background import running
from symbiont.common.errors import NotFound, Unavailable
from symbiont.inference import router as module
from symbiont.inference.deadline import Deadline
from symbiont.inference.reference import ModelReference
from symbiont.inference.router import Router
from symbiont.inference.table import RoutingTable
from symbiont.inference.types import AliasUpdate


@pytest.fixture
def table() -> RoutingTable:
    return RoutingTable()


@pytest.fixture
def router(registry: Any, table: RoutingTable, metrics: Any, monkeypatch: pytest.MonkeyPatch) -> Router:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(module, "LARGEST_DELAY", 0.002)
    return Router(registry, table, metrics, 2)


async def test_a_known_alias_asks_nobody(
    router: Router, table: RoutingTable, registry: Any, alias: Any, version: Any
) -> None:
    registry.down = True
    table.apply(AliasUpdate([alias("x", number=3)], complete=True))
    assert await router.resolve(ModelReference("x"), Deadline(1)) == version("x", 3)
    assert registry.asked == []


async def test_an_alias_not_heard_of_yet_is_asked_for(router: Router, registry: Any, alias: Any, version: Any) -> None:
    registry.known = [alias("x", "production", 1), alias("x", "canary", 2)]
    assert await router.resolve(ModelReference("x", "canary"), Deadline(1)) == version("x", 2)


async def test_an_unknown_model_alias_or_version_is_named(router: Router, registry: Any, alias: Any) -> None:
    registry.known = [alias("x", "production"), alias("x", "canary")]
    with pytest.raises(NotFound, match="model: models/y does not exist"):
        await router.resolve(ModelReference("y"), Deadline(1))
    with pytest.raises(NotFound, match="no alias 'beta'; its aliases: 'production', 'canary'"):
        await router.resolve(ModelReference("x", "beta"), Deadline(1))
    with pytest.raises(NotFound, match="model: models/x/versions/9 does not exist"):
        await router.resolve(ModelReference("x", version=9), Deadline(1))


async def test_versions_are_asked_for_once_and_a_bounded_number_is_kept(
    router: Router, registry: Any, version: Any
) -> None:
    registry.versions = [version("x", number) for number in (1, 2, 3)]
    for number in (1, 1, 2, 3, 3, 1):
        assert await router.resolve(ModelReference("x", version=number), Deadline(1)) == version("x", number)
    assert registry.asked == ["x/1", "x/2", "x/3", "x/1"]


@pytest.mark.parametrize("reference", [ModelReference("y"), ModelReference("x", version=1)])
async def test_what_is_not_known_cannot_be_answered_without_the_registry(
    router: Router, registry: Any, reference: ModelReference
) -> None:
    registry.down = True
    with pytest.raises(Unavailable, match="training"):
        await router.resolve(reference, Deadline(1))


async def test_it_follows_for_ever(
    router: Router, table: RoutingTable, registry: Any, alias: Any, version: Any, until: Any, prometheus: Any
) -> None:
    registry.streams = [
        [Unavailable("not up yet")],
        [AliasUpdate([alias("x", number=1)], complete=True), AliasUpdate([alias("x", number=2)], complete=False)],
        [Unavailable("gone")],
        [],
        [AliasUpdate([alias("y", number=4)], complete=True)],
    ]
    async with running("aliases", router.follow):
        await until(lambda: version("x", 2) in table.unproven())
        table.prove(version("x", 2))
        assert table.find("x", "production") == version("x", 2)
        await until(lambda: table.find("y", "production") == version("y", 4))
        await until(lambda: registry.watches == 6)
    assert table.find("x", "production") is None
    assert table.find("y", "production")
    assert prometheus.get_sample_value("symbiont_inference_registry_connected") == 0
