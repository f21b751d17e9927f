"""The routing table takes whole states and single changes."""

from dataclasses import replace
from typing import Any

from symbiont.inference.table import RoutingTable
from symbiont.inference.types import AliasUpdate


def test_changes_add_and_replace(alias: Any, version: Any) -> None:
    table = RoutingTable()
    table.apply(AliasUpdate([alias("x"), alias("y")], complete=True))
    table.apply(AliasUpdate([alias("x", number=2), alias("x", "canary", 3)], complete=False))
    table.prove(version("x", 2))
    assert table.find("x", "production") == version("x", 2)
    assert table.find("x", "canary") == version("x", 3)
    assert table.find("y", "production") == version("y", 1)
    assert table.find("y", "canary") is None


def test_a_complete_update_forgets_what_it_does_not_name(alias: Any) -> None:
    table = RoutingTable()
    table.apply(AliasUpdate([alias("x"), alias("y")], complete=True))
    table.apply(AliasUpdate([alias("y")], complete=True))
    assert [a.reference for a in table.aliases()] == ["models/y@production"]


def test_listeners_hear_of_changes(alias: Any) -> None:
    table, heard = RoutingTable(), []
    table.subscribe(lambda: heard.append(len(list(table.aliases()))))
    table.apply(AliasUpdate([alias("x")], complete=True))
    table.apply(AliasUpdate([alias("y")], complete=False))
    assert heard == [1, 2]


def test_what_is_new_serves_once_it_has_proven_itself(alias: Any, version: Any) -> None:
    table = RoutingTable()
    # Nothing served before: a late answer is better than none.
    table.apply(AliasUpdate([alias("x")], complete=True))
    assert (table.find("x", "production"), table.is_proven(version("x", 1))) == (version("x", 1), False)
    table.prove(version("x", 1))
    table.apply(AliasUpdate([alias("x", number=2)], complete=False))
    assert table.find("x", "production") == version("x", 1)
    assert table.unproven() == {version("x", 2)}
    # Whatever else comes, the stream's whole state among it.
    table.apply(AliasUpdate([alias("x", number=2), alias("y")], complete=True))
    assert table.find("x", "production") == version("x", 1)
    table.prove(version("x", 2))
    assert table.find("x", "production") == version("x", 2)
    # Back again: it proves itself anew, because nothing kept it in the host.
    table.apply(AliasUpdate([alias("x", number=1)], complete=False))
    assert (table.find("x", "production"), table.unproven()) == (version("x", 2), {version("x", 1), version("y", 1)})


def test_the_promotion_of_a_proven_candidate_flips_at_once(alias: Any, version: Any, release: Any) -> None:
    table = RoutingTable()
    table.apply(AliasUpdate([alias("x", release=release(2))], complete=True))
    table.prove(version("x", 1))
    assert table.release("x", "production") is None
    table.prove(version("x", 2))
    assert table.release("x", "production") == release(2)
    table.apply(AliasUpdate([alias("x", number=2)], complete=False))
    assert table.find("x", "production") == version("x", 2)
    assert (table.release("x", "production"), table.releases()) == (None, [])


def test_what_is_doubted_serves_on_and_takes_no_part_in_a_release(alias: Any, version: Any, release: Any) -> None:
    table = RoutingTable()
    table.apply(AliasUpdate([alias("x", release=release(2))], complete=True))
    for number in (1, 2):
        table.prove(version("x", number))
        table.doubt(version("x", number))
    assert table.find("x", "production") == version("x", 1)
    assert table.release("x", "production") is None
    assert table.unproven() == {version("x", 1), version("x", 2)}


def test_the_bases_of_all_that_serves_or_is_to_serve_are_needed(alias: Any, release: Any) -> None:
    table = RoutingTable()
    table.apply(AliasUpdate([alias("x", base="1" * 64)], complete=True))
    table.apply(AliasUpdate([alias("x", number=2, base="2" * 64, release=release(3, base="3" * 64))], complete=False))
    assert table.bases() == {"1" * 64, "2" * 64, "3" * 64}


def test_what_serves_and_is_doubted_waits_for_proof_though_another_is_to_follow(alias: Any, version: Any) -> None:
    table = RoutingTable()
    table.apply(AliasUpdate([alias("x")], complete=True))
    table.prove(version("x", 1))
    table.apply(AliasUpdate([alias("x", number=2)], complete=False))
    table.doubt(version("x", 1))
    assert table.find("x", "production") == version("x", 1)
    assert table.unproven() == {version("x", 1), version("x", 2)}


def test_a_doubt_of_what_nothing_needs_changes_nothing(alias: Any, version: Any) -> None:
    table, heard = RoutingTable(), []
    table.apply(AliasUpdate([alias("x")], complete=True))
    table.subscribe(lambda: heard.append(1))
    table.doubt(version("x", 1))
    table.doubt(version("y", 7))
    assert not heard


def test_proof_is_a_matter_of_the_bundle_and_of_what_is_needed(alias: Any, version: Any) -> None:
    table, same = RoutingTable(), replace(version("x", 1), model="", number=0)
    assert not table.lacks_proof(version("x", 1))
    table.apply(AliasUpdate([alias("x")], complete=True))
    assert [table.lacks_proof(one) for one in (version("x", 1), same, version("y", 2))] == [True, True, False]
    table.prove(version("x", 1))
    assert not table.lacks_proof(version("x", 1))
    assert not table.lacks_proof(same)
