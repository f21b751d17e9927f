"""What the READMEs tell a reader to do can be done."""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from symbiont.cli.app import app

ROOT = Path(__file__).parents[3]
PAGES = [p for p in sorted(ROOT.rglob("*.md")) if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)]
COMMANDS = [
    (page.relative_to(ROOT), line.split(" #")[0].strip())
    for page in PAGES
    for block in re.findall(r"```(?:sh|bash|console)?\n(.*?)```", page.read_text(), re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("symbiont ")
]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 6


@cache
def root() -> Any:
    """The whole command, which takes longer to make than to ask."""
    return typer.main.get_command(app)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_the_command_line_takes_what_the_page_says(
    page: Path, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = root()
    arguments = shlex.split(line)[1:]
    monkeypatch.chdir(tmp_path)
    for file in (a for a in arguments if a.endswith((".csv", ".tsv", ".jsonl", ".parquet", ".txt"))):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    context: Any = None
    while hasattr(command, "commands"):
        name = arguments.pop(0)
        assert name in command.commands, f"{page}: {line}"
        command = command.commands[name]
    context = command.make_context(command.name, arguments, parent=context)
    assert context.args == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not link.startswith(("http://", "https://")):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", page.read_text(), re.MULTILINE))
        named = {name for pair in named for name in pair if name}
        assert named <= targets, page
