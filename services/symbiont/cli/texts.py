"""Texts that a command reads from a file."""

import sys
from pathlib import Path

import typer


def lines_of(file: Path, option: str = "--file") -> list[str]:
    """Returns the lines of a file, `-` for stdin, that are not blank; an error names the option that gave it."""
    if str(file) != "-" and (file.is_dir() or not file.exists()):
        problem = "is a folder" if file.is_dir() else "does not exist"
        raise typer.BadParameter(f"{file} {problem}", param_hint=option)
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    # Not splitlines: a text may have U+2028 or a form feed in it. Reading has made every end of a line "\n".
    return [line for line in text.split("\n") if line.strip()]
