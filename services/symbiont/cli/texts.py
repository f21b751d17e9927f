"""Texts that a command reads from a file."""

import sys
from pathlib import Path

import typer


def lines_of(file: Path) -> list[str]:
    """Returns the lines of a file, `-` for stdin, that are not blank."""
    if str(file) != "-" and not file.is_file():
        raise typer.BadParameter(f"{file} does not exist", param_hint="--file")
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]
