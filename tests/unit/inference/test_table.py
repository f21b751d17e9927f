"""The routing table takes whole states and single changes."""

from typing import Any

from symbiont.inference.table import RoutingTable
from symbiont.inference.types import AliasUpdate


def test_changes_add_and_replace(alias: Any, version: Any) -> None:
    table = RoutingTable()
    table.apply(AliasUpdate([alias("x"), alias("y")], complete=True))
    table.apply(AliasUpdate([alias("x", number=2), alias("x", "canary", 3)], complete=False))
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
