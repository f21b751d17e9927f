"""The import rules of services/README.md, read from the code itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
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


def _not_in_the_table(path: Path) -> Iterator[str]:
    parts = path.relative_to(PACKAGE).parts
    folder, inner = parts[0], "/".join(parts[:2])
    # The package itself needs none of its parts.
    rules = set() if folder == "__init__.py" else allowed().get(inner, allowed()[folder]) | {folder}
    for name in imports(path):
        target = name.removeprefix("symbiont.")
        if target != name and not any(target == rule or target.startswith(f"{rule}.") for rule in rules):
            yield name


def _grpc_behind_the_edge(path: Path) -> Iterator[str]:
    name = str(path.relative_to(PACKAGE))
    used = {i.split(".")[0] for i in imports(path)} | {"_pb2" for i in imports(path) if "_pb2" in i}
    if name.split("/")[0] in SERVICES and not EDGE.search(name):
        yield from used & {"grpc", "_pb2", "google"}
    if name.startswith(("engine/", "bundle/")):
        yield from used & {"grpc", "_pb2"}
    if not name.startswith("triton/"):
        yield from used & {"tritonclient"}


def _tokenizers(path: Path) -> Iterator[str]:
    name = str(path.relative_to(PACKAGE))
    if name.startswith("tokenization/"):
        return
    found = {i for i in imports(path) if i.split(".")[0] == "tokenizers" or "Tokenizer" in i.rpartition(".")[2]}
    found = {i for i in found if not i.startswith("symbiont.")}
    # A tokenizer.json is tried on arrival: whether it can be read, and whether its expressions end.
    yield from found - ({"tokenizers.Tokenizer"} if name == "common/expressions.py" else set())


@pytest.mark.parametrize("folder", sorted({p.relative_to(PACKAGE).parts[0] for p in FILES}))
@pytest.mark.parametrize(
    "breaches", [_not_in_the_table, _grpc_behind_the_edge, _tokenizers], ids=lambda b: b.__name__[1:]
)
def test_no_file_imports_what_it_may_not(folder: str, breaches: Callable[[Path], Iterator[str]]) -> None:
    files = [path for path in FILES if path.relative_to(PACKAGE).parts[0] == folder]
    assert [f"{path.relative_to(ROOT)} imports {name}" for path in files for name in breaches(path)] == []


@pytest.mark.parametrize(
    ("breaches", "file", "line"),
    [
        (_not_in_the_table, "engine/bad.py", "import symbiont.training.store"),
        (_grpc_behind_the_edge, "training/bad.py", "import grpc"),
        (_grpc_behind_the_edge, "engine/bad.py", "from symbiont.api.training.v1 import a_pb2"),
        (_grpc_behind_the_edge, "inference/bad.py", "from tritonclient import grpc"),
        (_tokenizers, "training/bad.py", "from transformers import AutoTokenizer"),
    ],
)
def test_a_breach_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaches: Callable[[Path], Iterator[str]], file: str, line: str
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(line)
    assert list(breaches(tmp_path / file))


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
