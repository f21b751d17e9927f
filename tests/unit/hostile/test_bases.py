"""Folders that somebody made to harm: as a base or a tokenizer they are refused, and nothing is stored."""

import json
import os
import pickle
import shutil
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from support.tiny import save_base
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.tokenization.registering import read_source
from symbiont.training import bases
from symbiont.training.types import Source

WEIGHTS = "model.safetensors"


class Harm:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("good"))


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "base"))


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def refused(folder: Path, artifacts: ArtifactStore) -> Callable[[str], None]:
    def check(words: str) -> None:
        found: list[BaseException] = []

        def register() -> None:
            try:
                bases.register(artifacts, "evil", Source("folder", str(folder)), "", "")
            except BaseException as exc:  # noqa: BLE001, it is looked at
                found.append(exc)

        # A pipe that is opened would hold whoever reads it.
        thread = threading.Thread(target=register, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "it is still being read"
        assert found, "it was taken"
        assert isinstance(found[0], InvalidArgument), repr(found[0])
        assert words in str(found[0])
        assert found[0].field == "base_model.source"
        assert artifacts.list("bases") == artifacts.list("tokenizers") == []

    return check


def header(entries: dict[str, Any], data: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    """Returns the bytes of a safetensors file with this header, however wrong."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, end: int, shape: Any = (4,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HEADERS = {
    "a length of 2 GiB": header({"a": entry(0, 16)}, length=2 << 30),
    "a length beyond 64 bits of sense": header({"a": entry(0, 16)}, length=(1 << 64) - 1),
    "no header": b"\1\0",
    "nothing": b"",
    "negative offsets": header({"a": entry(-16, 0), "b": entry(0, 16)}),
    "offsets that end before they begin": header({"a": entry(16, 0)}),
    "tensors that overlap": header({"a": entry(0, 16), "b": entry(8, 24)}, b"\0" * 24),
    "a hole": header({"a": entry(0, 8, (2,)), "b": entry(16, 24, (2,))}, b"\0" * 24),
    "more than there is": header({"a": entry(0, 1 << 40, (1 << 38,))}),
    "less than there is": header({"a": entry(0, 8, (2,))}),
    "a shape that is not its bytes": header({"a": entry(0, 16, (1 << 30, 1 << 30))}),
    "a shape that overflows": header({"a": entry(0, 16, (1 << 63, 2))}),
    "a negative shape": header({"a": entry(0, 16, (-4,))}),
    "a shape of text": header({"a": entry(0, 16, "4")}),
    "a type of nobody": header({"a": entry(0, 16, dtype="OBJECT")}),
    "offsets of text": header({"a": {"dtype": "F32", "shape": [4], "data_offsets": ["0", "16"]}}),
    "a list": struct.pack("<Q", 2) + b"[]",
    "deep JSON": struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000,
    "text that is none": struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
}


@pytest.mark.parametrize("name", HEADERS)
def test_weights_with_a_lying_header(folder: Path, refused: Callable[[str], None], name: str) -> None:
    (folder / WEIGHTS).write_bytes(HEADERS[name])
    refused(f"{WEIGHTS} is not a whole safetensors file")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path, refused: Callable[[str], None], name: str) -> None:
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    refused("there is no model.safetensors")
    assert not (tmp_path / "harm").exists()


def test_pickled_weights_beside_good_ones_are_left_where_they_are(
    folder: Path, tmp_path: Path, artifacts: ArtifactStore
) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    (folder / "modeling_evil.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_evil.EvilModel", "AutoConfig": "modeling_evil.EvilConfig"}
    (folder / "config.json").write_text(json.dumps(config))
    base = bases.register(artifacts, "tiny", Source("folder", str(folder)), "", "")
    assert sorted(artifacts.manifest("bases", base.digest)["files"]) == ["config.json", WEIGHTS]
    from symbiont.engine.encoders import load_encoder

    assert load_encoder(artifacts, base.digest)
    assert not (tmp_path / "harm").exists()


def test_a_pickle_in_the_name_of_safetensors(folder: Path, tmp_path: Path, refused: Callable[[str], None]) -> None:
    torch.save({"w": torch.zeros(2)}, folder / WEIGHTS)
    refused("not a whole safetensors file")
    (folder / WEIGHTS).write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    refused("not a whole safetensors file")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"])
def test_a_link_that_leads_out(folder: Path, tmp_path: Path, refused: Callable[[str], None], name: str) -> None:
    (tmp_path / "secret").write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "secret")
    refused(f"{name} is a link that leads out of the folder")


def test_links_of_a_hub_cache_are_taken(good: Path, tmp_path: Path, artifacts: ArtifactStore) -> None:
    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "abc", tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in good.iterdir():
        shutil.copy(file, blobs / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    assert bases.register(artifacts, "tiny", Source("folder", str(snapshot)), "", "").hidden_size


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"])
def test_a_pipe_is_not_waited_for(folder: Path, refused: Callable[[str], None], name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    if name == "tokenizer_config.json":
        # It may be missing: what is no file is not there.
        (folder / "config.json").write_text("{}")
        refused("config.json has model_type None")
    else:
        refused(f"there is no {name}")


def test_a_device_is_not_read(folder: Path, refused: Callable[[str], None]) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/dev/zero")
    refused("leads out of the folder")


CONFIGS = {
    "deep": ("[" * 100_000, "config.json is not JSON"),
    "a number of many digits": ('{"model_type": ' + "9" * 5000 + "}", "config.json is not JSON"),
    "no object": ("[1]", "config.json is not a JSON object"),
    "a type that is a list": ('{"model_type": ["bert"]}', "model_type"),
    "positions of text": ('{"model_type": "bert", "max_position_embeddings": "x", "hidden_size": 8}', "max_position"),
    "negative positions": ('{"model_type": "bert", "max_position_embeddings": -5, "hidden_size": 8}', "max_position"),
    "a width that is a list": (
        '{"model_type": "bert", "max_position_embeddings": 9, "hidden_size": [8]}',
        "hidden_size",
    ),
    "endless positions": (
        '{"model_type": "bert", "max_position_embeddings": 1e400, "hidden_size": 8}',
        "max_position_embeddings is not a whole number",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_of_a_base(folder: Path, refused: Callable[[str], None], name: str) -> None:
    content, words = CONFIGS[name]
    (folder / "config.json").write_text(content)
    refused(words)


@pytest.mark.parametrize("listed", [[], {"a": "../../etc/passwd"}, {"a": "/etc/passwd"}, {"a": ["x"]}, "x"])
def test_an_index_of_files_elsewhere(folder: Path, refused: Callable[[str], None], listed: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    refused("names files that are not in")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"version": "1.0", "model": {"type": "X"}}']
)
def test_a_tokenizer_that_is_none(folder: Path, refused: Callable[[str], None], content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    refused("tokenizer.json is not a tokenizer")
    with pytest.raises(InvalidArgument, match="is not a tokenizer"):
        read_source(folder, "source", 0)


def test_a_tokenizer_whose_expression_takes_for_ever(folder: Path, refused: Callable[[str], None]) -> None:
    file = folder / "tokenizer.json"
    definition = json.loads(file.read_text(encoding="utf-8"))
    definition["pre_tokenizer"] = {
        "type": "Split", "pattern": {"Regex": r"(\w+\s?)*$"}, "behavior": "Isolated", "invert": False,
    }  # fmt: skip
    file.write_text(json.dumps(definition), encoding="utf-8")
    refused("takes for ever")
    with pytest.raises(InvalidArgument, match="takes for ever"):
        read_source(folder, "source", 0)


def test_a_tokenizer_with_code_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    with pytest.raises(InvalidArgument, match="asks for code of its own"):
        read_source(folder, "source", 0)
    assert not (tmp_path / "harm").exists()


def test_a_hard_link_is_a_file_like_any_other(folder: Path, artifacts: ArtifactStore, tmp_path: Path) -> None:
    # Package managers make such, and whoever can make one to a file can read that file.
    os.link(folder / WEIGHTS, tmp_path / "other")
    assert bases.register(artifacts, "tiny", Source("folder", str(folder)), "", "").hidden_size


def test_a_file_that_is_written_over_later_changes_nothing(folder: Path, artifacts: ArtifactStore) -> None:
    base = bases.register(artifacts, "tiny", Source("folder", str(folder)), "", "")
    save_file({"evil": torch.zeros(1)}, folder / WEIGHTS)
    assert artifacts.path("bases", base.digest)
