"""`symbiont bundles`, on a store and keys of its own."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from symbiont.cli.app import app
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def run(store: ArtifactStore, *arguments: str) -> tuple[int, str]:
    asked = ["bundles", *arguments] + ([] if arguments[0] == "key" else ["--artifact-root", str(store.root)])
    result = CliRunner().invoke(app, asked, env={"COLUMNS": "300"})
    if isinstance(result.exception, InvalidArgument):
        raise result.exception
    return result.exit_code, result.output


def test_a_bundle_is_signed_offline_and_verified(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put("bundles", {"head.safetensors": b"1"}, {})
    key, trusted = tmp_path / "acme.pem", tmp_path / "trusted"
    status, line = run(store, "key", str(key), "--tenant", "acme")
    assert status == 0
    assert line.endswith(" acme\n")
    trusted.write_text(line)
    status, said = run(store, "verify", "--all", "--trusted-keys", str(trusted))
    assert status == 1
    assert "nobody who is trusted has signed it" in said
    assert "signed 1 with key" in run(store, "sign", digest, "--key", str(key))[1]
    status, said = run(store, "verify", digest, "--trusted-keys", str(trusted))
    assert status == 0
    assert "acme" in said
    (Path(store.root) / "bundles" / digest / "head.safetensors").write_bytes(b"2")
    status, said = run(store, "verify", digest, "--trusted-keys", str(trusted))
    assert status == 1
    assert "differs from its digest" in said


@pytest.mark.parametrize("arguments", [(), ("a" * 64, "--all")])
def test_either_some_are_named_or_all(store: ArtifactStore, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    run(store, "key", str(tmp_path / "key.pem"))
    with pytest.raises(InvalidArgument, match="name bundles, or take --all"):
        run(store, "sign", *arguments, "--key", str(tmp_path / "key.pem"))


def test_a_key_is_never_written_over(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("mine")
    with pytest.raises(InvalidArgument, match="never written over"):
        run(store, "key", str(path))
    assert path.read_text() == "mine"
