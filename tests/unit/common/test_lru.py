"""A bounded table forgets what was unused for longest."""

import pytest

from symbiont.common.lru import Lru


def test_the_least_recently_used_entry_goes() -> None:
    table: Lru[str, int] = Lru(2)
    table.put("a", 1)
    table.put("b", 2)
    assert table.get("a") == 1
    table.put("c", 3)
    assert [table.get(key) for key in "abc"] == [1, None, 3]
    assert len(table) == 2


def test_replacing_an_entry_drops_no_other() -> None:
    table: Lru[str, int] = Lru(2)
    table.put("a", 1)
    table.put("b", 2)
    table.put("a", 3)
    assert [table.get("a"), table.get("b")] == [3, 2]


def test_a_table_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        Lru(0)
