"""The import rules of services/README.md, read from the code itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3] / "services"
PACKAGE = ROOT / "symbiont"
README = (ROOT / "README.md").read_text()
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if "api" not in p.relative_to(PACKAGE).parts[:1]]
SERVICES = ("tokenization", "training", "inference")
# The modules of a service that may know gRPC and generated messages.
EDGE = re.compile(r"(^|/)(__main__|servicer|convert(_\w+)?|clients)\.py$|/servicers/")


@cache
def imports(path: Path) -> Sequence[str]:
    """Returns the dotted names that a file imports, wherever in it."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def allowed() -> dict[str, set[str]]:
    """Returns folder -> what it may import, from the table; a folder inside another may have a line of its own."""
    rows = re.findall(r"^\| `([\w/]+)/` \|[^|]*\| ([^|]*) \|$", README, re.MULTILINE)
    return {folder: set(re.findall(r"`([\w.]+)`", names)) for folder, names in rows}


def test_the_table_names_every_folder() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert {folder for folder in allowed() if "/" not in folder} == folders
    assert all((PACKAGE / folder).is_dir() for folder in allowed())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_folder_imports_only_what_the_table_allows(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    folder, inner = parts[0], "/".join(parts[:2])
    if folder == "__init__.py":
        assert [name for name in imports(path) if name.startswith("symbiont")] == []
        return
    for name in imports(path):
        if not name.startswith("symbiont."):
            continue
        target = name.removeprefix("symbiont.")
        rules = allowed().get(inner, allowed()[folder]) | {folder}
        ok = any(target == rule or target.startswith(f"{rule}.") for rule in rules)
        assert ok, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_edges_of_a_service_know_grpc(path: Path) -> None:
    name = str(path.relative_to(PACKAGE))
    used = {i.split(".")[0] for i in imports(path)} | {"_pb2" for i in imports(path) if "_pb2" in i}
    if name.split("/")[0] in SERVICES and not EDGE.search(name):
        assert used.isdisjoint({"grpc", "_pb2", "google"}), name
    if name.startswith(("engine/", "bundle/")):
        assert used.isdisjoint({"grpc", "_pb2", "tritonclient"}), name
    if not name.startswith("triton/"):
        assert "tritonclient" not in used, f"{name}: only triton/ uses tritonclient"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_tokenization_makes_tokens_of_texts(path: Path) -> None:
    name = str(path.relative_to(PACKAGE))
    if name.startswith("tokenization/"):
        return
    found = {i for i in imports(path) if i.split(".")[0] == "tokenizers" or "Tokenizer" in i.rpartition(".")[2]}
    found = {i for i in found if not i.startswith("symbiont.")}
    # A tokenizer.json is tried on arrival: whether it can be read, and whether its expressions end.
    assert found <= ({"tokenizers.Tokenizer"} if name == "common/expressions.py" else set()), name


def test_every_file_that_the_map_names_exists() -> None:
    tables = README.partition("## The files that a Predict passes")[2]
    for line in tables.splitlines():
        if not line.startswith("| ") or line.startswith(("| step", "|---")):
            continue
        folder = ""
        for name in re.findall(r"`([\w/]+\.(?:py|proto))`", line):
            if name.startswith("protos/"):
                assert (ROOT.parent / name).is_file(), name
                continue
            # A bare name stands in the folder of the one before it.
            folder = name.rpartition("/")[0] or folder
            path = PACKAGE / (name if "/" in name else f"{folder}/{name}")
            assert path.is_file(), f"{line}\n{name}"


@pytest.mark.parametrize(
    "module", [*(f"{service}.__main__" for service in SERVICES), "cli.app", "client", "capacity.__main__"]
)
def test_nothing_that_only_talks_loads_torch(module: str) -> None:
    program = f"import sys, symbiont.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert {"torch", "transformers", "peft", "sklearn"}.isdisjoint(loaded)
