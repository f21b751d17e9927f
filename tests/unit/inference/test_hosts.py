"""Hosts that an alias needs are loaded, loaded again when lost, and their state is told."""

import asyncio
from typing import Any

import pytest

from symbiont.common.background import running
from symbiont.common.errors import Unavailable
from symbiont.inference.hosts import HostKeeper
from symbiont.inference.table import RoutingTable
from symbiont.inference.types import AliasUpdate

A, B = "a" * 64, "b" * 64


@pytest.fixture
def table() -> RoutingTable:
    return RoutingTable()


@pytest.fixture
def health() -> dict[str, bool]:
    return {}


@pytest.fixture
def keeper(hosts: Any, table: RoutingTable, health: dict[str, bool], metrics: Any) -> HostKeeper:
    async def report(name: str, ready: bool | None) -> None:
        if ready is None:
            del health[name]
        else:
            health[name] = ready

    return HostKeeper(hosts, table, report, metrics, interval_s=0.01)


def prove(table: RoutingTable) -> None:
    for version in table.unproven():
        table.prove(version)


async def test_hosts_follow_the_aliases(
    keeper: HostKeeper,
    table: RoutingTable,
    hosts: Any,
    health: dict[str, bool],
    alias: Any,
    until: Any,
    prometheus: Any,
) -> None:
    async with running("hosts", keeper.run):
        table.apply(AliasUpdate([alias("x")], complete=True))
        prove(table)
        await until(lambda: health == {"models/x@production": True})
        table.apply(AliasUpdate([alias("x", "canary", 2), alias("y", base=B)], complete=False))
        prove(table)
        ready = {"models/x@production": True, "models/x@canary": True, "models/y@production": True}
        await until(lambda: health == ready)
        assert prometheus.get_sample_value("symbiont_inference_hosts_ready") == 2
        assert prometheus.get_sample_value("symbiont_inference_aliases") == 3
        table.apply(AliasUpdate([alias("y", base=B)], complete=True))
        prove(table)
        await until(lambda: health == {"models/y@production": True})
    assert hosts.loads == [A, B]
    assert prometheus.get_sample_value("symbiont_inference_hosts_ready") == 1


async def test_a_triton_that_restarted_gets_its_host_back(
    keeper: HostKeeper, table: RoutingTable, hosts: Any, health: dict[str, bool], alias: Any, until: Any
) -> None:
    table.apply(AliasUpdate([alias("x")], complete=True))
    prove(table)
    async with running("hosts", keeper.run):
        await until(lambda: health == {"models/x@production": True})
        hosts.loaded.clear()
        hosts.error = Unavailable("Triton is away")
        await until(lambda: health == {"models/x@production": False})
        await until(lambda: len(hosts.loads) > 4)
        hosts.error = None
        await until(lambda: health == {"models/x@production": True})


async def test_one_host_that_cannot_be_loaded_does_not_hold_up_another(
    keeper: HostKeeper,
    table: RoutingTable,
    hosts: Any,
    health: dict[str, bool],
    alias: Any,
    until: Any,
    prometheus: Any,
) -> None:
    table.apply(AliasUpdate([alias("x"), alias("y", base=B)], complete=True))
    prove(table)
    hosts.error = Unavailable("no memory")
    hosts.loaded.add(B)
    async with running("hosts", keeper.run):
        await until(lambda: health == {"models/x@production": False, "models/y@production": True})
        # Not 0 of 0: one of two is missing.
        assert prometheus.get_sample_value("symbiont_inference_hosts_needed") == 2
        assert prometheus.get_sample_value("symbiont_inference_hosts_ready") == 1


async def test_a_host_that_is_loaded_and_answers_nothing_is_not_ready(
    keeper: HostKeeper,
    table: RoutingTable,
    hosts: Any,
    health: dict[str, bool],
    alias: Any,
    until: Any,
    prometheus: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(base: str) -> bool:
        return False

    table.apply(AliasUpdate([alias("x")], complete=True))
    prove(table)
    async with running("hosts", keeper.run):
        await until(lambda: health == {"models/x@production": True})
        monkeypatch.setattr(hosts, "host_ready", silent)
        await until(lambda: health == {"models/x@production": False})
        tried = len(hosts.loads)
        while len(hosts.loads) < tried + 5:
            assert (health, keeper.is_ready(A)) == ({"models/x@production": False}, False)
            assert prometheus.get_sample_value("symbiont_inference_hosts_ready") == 0
            await asyncio.sleep(0.001)
        monkeypatch.undo()
        await until(lambda: health == {"models/x@production": True})


async def test_an_alias_is_ready_once_its_version_has_answered(
    keeper: HostKeeper, table: RoutingTable, health: dict[str, bool], alias: Any, version: Any, until: Any
) -> None:
    table.apply(AliasUpdate([alias("x")], complete=True))
    async with running("hosts", keeper.run):
        await until(lambda: keeper.is_ready(A) and health == {"models/x@production": False})
        table.prove(version("x", 1))
        await until(lambda: health == {"models/x@production": True})
        # The version before serves on, and truly.
        table.apply(AliasUpdate([alias("x", number=2)], complete=False))
        await until(lambda: not keeper._changed.is_set())
        assert health == {"models/x@production": True}


async def test_a_version_is_answerable_with_its_host_and_a_bundle_that_is_not_waited_for(
    keeper: HostKeeper, table: RoutingTable, hosts: Any, alias: Any, version: Any, until: Any
) -> None:
    mine, other = version("x", 1), version("y", 5, base=B)
    table.apply(AliasUpdate([alias("x")], complete=True))
    assert keeper.problem(mine) == "its base model is not loaded in Triton now, or does not answer"
    async with running("hosts", keeper.run):
        await until(lambda: keeper.is_ready(A))
        assert keeper.problem(mine).startswith("its bundle has not answered")
        assert not await keeper.is_answerable(mine)
        table.prove(mine)
        assert (keeper.problem(mine), await keeper.is_answerable(mine)) == ("", True)
        # What no alias needs: Triton is asked.
        assert not await keeper.is_answerable(other)
        hosts.loaded.add(B)
        assert await keeper.is_answerable(other)
        hosts.error = Unavailable("Triton is away")
        hosts.loaded.clear()
        await until(lambda: not keeper.is_ready(A))
        assert not await keeper.is_answerable(mine)


async def test_a_doubt_turns_the_health_of_its_alias_alone(
    keeper: HostKeeper, table: RoutingTable, health: dict[str, bool], alias: Any, version: Any, until: Any
) -> None:
    table.apply(AliasUpdate([alias("x"), alias("y", number=2)], complete=True))
    prove(table)
    async with running("hosts", keeper.run):
        await until(lambda: health == {"models/x@production": True, "models/y@production": True})
        table.doubt(version("x", 1))
        await until(lambda: health == {"models/x@production": False, "models/y@production": True})
        table.prove(version("x", 1))
        await until(lambda: health == {"models/x@production": True, "models/y@production": True})
