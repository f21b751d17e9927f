"""Where rows go: alike in every process, and moved only where they must."""

import subprocess
import sys

import numpy as np

from symbiont.engine.row import Row
from symbiont.triton.placement import Placement, Spread, rendezvous

BASE = "a" * 64
SERVERS = [f"10.0.0.{n}:8001" for n in range(1, 5)]
ALONE = Spread()
BUNDLES = [f"bundle-{n}" for n in range(400)]


def places(servers: list[str], spread: Spread = ALONE) -> dict[str, str]:
    """Returns the server of each bundle."""
    rows = [Row(np.zeros(1, np.int32), bundle) for bundle in BUNDLES]
    parts = Placement(servers, spread).divide(BASE, rows)
    assert sorted(index for indices in parts.values() for index in indices) == list(range(len(rows)))
    return {BUNDLES[index]: server for server, indices in parts.items() for index in indices}


def test_a_server_that_goes_moves_its_own_share_only_and_gets_it_back() -> None:
    before = places(SERVERS)
    assert {list(before.values()).count(server) > 400 / 4 / 2 for server in SERVERS} == {True}
    after = places(SERVERS[1:])
    for bundle, server in before.items():
        assert after[bundle] == (server if server != SERVERS[0] else rendezvous(f"{BASE}/{bundle}", SERVERS)[1])
    # What it leaves is not one neighbour's burden.
    assert {after[bundle] for bundle, server in before.items() if server == SERVERS[0]} == set(SERVERS[1:])
    assert places(SERVERS) == before


def test_the_order_is_the_same_in_every_process_and_however_servers_are_listed() -> None:
    program = f"from symbiont.triton.placement import rendezvous; print(rendezvous('key', {SERVERS!r}))"
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {str(rendezvous("key", reversed(SERVERS)))}
    assert places(SERVERS[::-1]) == places(SERVERS)


def test_a_base_may_be_held_by_some_servers_only() -> None:
    spread = Spread(base_servers=2)
    holders = set(Placement(SERVERS, spread).holders(BASE))
    assert len(holders) == 2
    before = places(SERVERS, spread)
    assert set(before.values()) == holders
    gone, stays = holders
    after = places([server for server in SERVERS if server != gone], spread)
    assert len(set(after.values())) == 2
    assert stays in after.values()
    assert gone not in after.values()


def test_rows_of_one_bundle_take_turns_where_several_servers_hold_it() -> None:
    rows = [Row(np.zeros(1, np.int32), "one")] * 9
    (alone,) = Placement(SERVERS, Spread()).divide(BASE, rows)
    parts = Placement(SERVERS, Spread(bundle_servers=3)).divide(BASE, rows)
    assert sorted(map(len, parts.values())) == [3, 3, 3]
    assert alone in parts


def test_rows_of_the_plain_base_go_to_all_that_hold_it() -> None:
    rows = [Row(np.zeros(1, np.int32))] * 8
    assert sorted(map(len, Placement(SERVERS, Spread()).divide(BASE, rows).values())) == [2, 2, 2, 2]
