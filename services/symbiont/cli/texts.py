"""Texts that a command reads from a file."""

import sys
from pathlib import Path

import typer


def lines_of(file: Path, option: str = "--file") -> list[str]:
    """Returns the lines of a file, `-` for stdin, that are not blank; an error names the option that gave it."""
    if str(file) != "-" and not file.is_file():
        raise typer.BadParameter(f"{file} does not exist", param_hint=option)
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]
