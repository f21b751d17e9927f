"""Cells of CSV files that people open in a spreadsheet."""

import re
from typing import Any

# What a spreadsheet takes for a formula, whatever number of apostrophes keeps it from that.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def inert(value: Any) -> Any:
    """Puts an apostrophe before what a spreadsheet would compute (CWE-1236); numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def without_apostrophe(value: str) -> str:
    """The inverse of `inert`."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value[1:]) else value
