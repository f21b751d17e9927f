"""Nothing that is read may run: no pickle, no unsafe YAML, no code beside a model, no unpacking by names of others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "services" / "symbiont"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "api"]
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_CALLS = {
    *("torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"),
    *("np.fromregex", "np.lib.format.read_array", "pd.read_pickle", "shutil.unpack_archive"),
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen"),
}


def dotted(node: ast.expr) -> str:
    """Returns `a.b.c` of an expression of names; empty for any other."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else f"?.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def problems(path: Path) -> Iterator[str]:
    """Yields what a file does that it may not."""
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{where} imports {name}" for name in names if name.partition(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.Call):
            said = {k.arg: k.value.value for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
            yield from (f"{where}: {problem}" for problem in rule(dotted(node.func), said))


def rule(called: str, said: dict[str, object]) -> Iterator[str]:
    """Yields what is wrong with a call of this name with these constants as keywords."""
    last = called.rpartition(".")[2]
    if called in FORBIDDEN_CALLS:
        yield f"calls {called}"
    if called in ("np.load", "numpy.load") and said.get("allow_pickle") is not False:
        yield "np.load needs allow_pickle=False"
    if said.get("allow_pickle") is True or said.get("trust_remote_code") is True or said.get("weights_only") is False:
        yield f"{called} is told to run code"
    if last == "from_pretrained":
        if said.get("trust_remote_code") is not False or said.get("local_files_only") is not True:
            yield f"{called} needs trust_remote_code=False and local_files_only=True"
        if not called.startswith("slow.") and said.get("use_safetensors") is not True:
            yield f"{called} needs use_safetensors=True"
    if last == "extractall" and said.get("filter") != "data":
        yield f"{called} unpacks by names that somebody else wrote"


def test_nothing_that_is_read_may_run() -> None:
    assert len(FILES) > 100
    assert [f"{path.relative_to(PACKAGE)}: {problem}" for path in FILES for problem in problems(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from joblib import load", "torch.load('x')", "yaml.load(f)", "np.load('x')"),
        *("np.load('x', allow_pickle=True)", "AutoModel.from_pretrained('x')", "eval('1')", "archive.extractall('x')"),
        "A.from_pretrained('x', use_safetensors=True, local_files_only=True, trust_remote_code=True)",
    ],
)
def test_what_may_not_be_is_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(line)
    assert list(problems(path))
