"""Versions answer a row before anything flips to them; one that cannot is tried again and holds up nobody."""

import asyncio
from typing import Any

import numpy as np
import pytest

from symbiont.common.background import running
from symbiont.common.errors import DeadlineExceeded, IntegrityError, NotFound, Unavailable
from symbiont.engine.row import Row
from symbiont.inference import warming
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.table import RoutingTable
from symbiont.inference.types import AliasUpdate, BundleInfo
from symbiont.inference.warming import Warmer


@pytest.fixture
def table() -> RoutingTable:
    return RoutingTable()


@pytest.fixture
def warmer(
    table: RoutingTable,
    hosts: Any,
    tokens: Any,
    metrics: Any,
    info: BundleInfo,
    version: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Warmer:
    monkeypatch.setattr(warming, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(warming, "LARGEST_DELAY", 0.002)
    for number in range(1, 9):
        hosts.logits[version("x", number).bundle_digest] = [0.0, 1.0, 2.0]
    shelf = BundleShelf(lambda digest: info, 16)
    return Warmer(table, shelf, lambda digest: Row(np.array([7], np.int32), digest), tokens, hosts, metrics, 2, 5.0)


async def test_a_version_answers_before_the_alias_flips(
    warmer: Warmer, table: RoutingTable, hosts: Any, tokens: Any, alias: Any, version: Any, until: Any, prometheus: Any
) -> None:
    table.apply(AliasUpdate([alias("x")], complete=True))
    async with running("warm-up", warmer.run):
        await until(lambda: table.is_proven(version("x", 1)))
        hosts.seconds = 0.05
        table.apply(AliasUpdate([alias("x", number=2)], complete=False))
        await until(lambda: len(hosts.calls) == 2)
        assert table.find("x", "production") == version("x", 1)
        await until(lambda: table.find("x", "production") == version("x", 2))
        await until(lambda: prometheus.get_sample_value("symbiont_inference_versions_waiting") == 0)
    assert [(base, rows) for base, rows, *_ in hosts.calls] == [(version("x", 1).base_digest, [[7]])] * 2
    # The tokenizer of each was there, too.
    assert [digest for digest, *_ in tokens.calls] == [version("x", 1).tokenizer_digest] * 2
    assert prometheus.get_sample_value("symbiont_inference_warm_ups_total", {"result": "answered"}) == 2


@pytest.mark.parametrize(
    ("where", "result"),
    [("bundle", "failed"), ("host", "away"), ("late", "away"), ("tokenizer", "failed"), ("other tokenizer", "failed")],
)
async def test_a_version_that_fails_serves_nothing_until_it_is_mended(
    warmer: Warmer,
    table: RoutingTable,
    hosts: Any,
    tokens: Any,
    alias: Any,
    version: Any,
    until: Any,
    prometheus: Any,
    where: str,
    result: str,
) -> None:
    table.apply(AliasUpdate([alias("x")], complete=True))
    async with running("warm-up", warmer.run):
        await until(lambda: table.is_proven(version("x", 1)))
        if where == "bundle":
            hosts.broken = {version("x", 2).bundle_digest}
        elif where == "host":
            hosts.error = Unavailable("Triton is away")
        elif where == "late":
            tokens.error = DeadlineExceeded("tokenization did not answer in time")
        elif where == "tokenizer":
            tokens.error = NotFound("no such tokenizer")
        else:
            tokens.digest = "e" * 64
        table.apply(AliasUpdate([alias("x", number=2)], complete=False))
        await until(lambda: prometheus.get_sample_value("symbiont_inference_warm_ups_total", {"result": result}) > 3)
        other = {"result": "away" if result == "failed" else "failed"}
        assert prometheus.get_sample_value("symbiont_inference_warm_ups_total", other) == 0
        assert table.find("x", "production") == version("x", 1)
        assert prometheus.get_sample_value("symbiont_inference_versions_waiting") == 1
        hosts.error, hosts.broken, tokens.error, tokens.digest = None, set(), None, version("x", 2).tokenizer_digest
        await until(lambda: table.find("x", "production") == version("x", 2))


async def test_an_alias_that_goes_back_needs_nothing_more(
    warmer: Warmer, table: RoutingTable, hosts: Any, alias: Any, version: Any, until: Any, prometheus: Any
) -> None:
    table.apply(AliasUpdate([alias("x")], complete=True))
    async with running("warm-up", warmer.run):
        await until(lambda: table.is_proven(version("x", 1)))
        hosts.broken = {version("x", 2).bundle_digest}
        table.apply(AliasUpdate([alias("x", number=2)], complete=False))
        await until(lambda: prometheus.get_sample_value("symbiont_inference_versions_waiting") == 1)
        table.apply(AliasUpdate([alias("x", number=1)], complete=False))
        await until(lambda: prometheus.get_sample_value("symbiont_inference_versions_waiting") == 0)
        tried = len(hosts.calls)
        await asyncio.sleep(0.02)
        assert len(hosts.calls) == tried


async def test_a_broken_one_holds_up_no_other(
    warmer: Warmer, table: RoutingTable, hosts: Any, alias: Any, version: Any, until: Any
) -> None:
    hosts.broken = {version("x", 1).bundle_digest}
    aliases = [alias("x", f"a{number}", number) for number in range(1, 9)]
    table.apply(AliasUpdate(aliases, complete=True))
    async with running("warm-up", warmer.run):
        await until(lambda: table.unproven() == {version("x", 1)})
    assert hosts.most_at_once <= 2


async def test_only_so_many_are_tried_at_a_time(
    warmer: Warmer, table: RoutingTable, hosts: Any, alias: Any, until: Any
) -> None:
    hosts.seconds = 60
    table.apply(AliasUpdate([alias("x", f"a{number}", number) for number in range(1, 9)], complete=True))
    async with running("warm-up", warmer.run):
        await until(lambda: hosts.most_at_once == 2)
        await asyncio.sleep(0.05)
        assert len(hosts.calls) == 2


async def test_a_manifest_that_cannot_be_read_is_said_once(
    table: RoutingTable, hosts: Any, tokens: Any, metrics: Any, alias: Any, until: Any, prometheus: Any, capsys: Any
) -> None:
    def damaged(digest: str) -> BundleInfo:
        raise IntegrityError("bundles/x: its manifest is damaged")

    shelf = BundleShelf(damaged, 1)
    warmer = Warmer(table, shelf, lambda digest: Row(np.array([7]), digest), tokens, hosts, metrics, 2, 5.0)
    table.apply(AliasUpdate([alias("x")], complete=True))
    async with running("warm-up", warmer.run):
        await until(lambda: prometheus.get_sample_value("symbiont_inference_warm_ups_total", {"result": "failed"}) >= 2)
    assert hosts.calls == []
    logged = capsys.readouterr()
    assert (logged.out + logged.err).count("version not ready") == 1


async def test_what_is_doubted_is_tried_again_and_serves_on(
    warmer: Warmer, table: RoutingTable, hosts: Any, alias: Any, version: Any, until: Any
) -> None:
    one = version("x", 1)
    table.apply(AliasUpdate([alias("x")], complete=True))
    doubts = 0

    def doubt_at_once() -> None:
        # Heard in the same step in which it proved itself, when the task of that has not ended yet.
        nonlocal doubts
        if table.is_proven(one) and not doubts:
            doubts += 1
            table.doubt(one)

    table.subscribe(doubt_at_once)
    async with running("warm-up", warmer.run):
        await until(lambda: doubts == 1 and table.is_proven(one))
        hosts.broken = {one.bundle_digest}
        table.doubt(one)
        tried = len(hosts.calls)
        await until(lambda: len(hosts.calls) > tried + 2)
        assert (table.find("x", "production"), table.is_proven(one)) == (one, False)
        hosts.broken = set()
        await until(lambda: table.is_proven(one))
