"""The page of threats names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINES = [line for line in (ROOT / "services/THREATS.md").read_text().splitlines() if re.match(r"\| [STRIDE]", line)]


@pytest.mark.parametrize("line", LINES)
def test_what_shows_it_is_there(line: str) -> None:
    shown = line.rsplit("|", 2)[1]
    last = ROOT
    for name in re.findall(r"`([\w/]+\.py)`", shown):
        # A name alone is beside the one before it; a path begins at the root, or among the tests.
        places = [ROOT / name, last.parent / name, ROOT / "tests/contract" / name]
        last = next((place for place in places if place.is_file()), Path())
        assert last.is_file(), f"{name} is nowhere"
    assert "`" in shown or shown.strip() in ("by hand", "not shown"), line


def test_the_page_has_threats() -> None:
    assert len(LINES) > 20
