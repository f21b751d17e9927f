"""Reads a tokenizer that lies in a folder: which of its files are taken, and how long its sequences may be.

No code of the folder runs. Of a tokenizer that exists in Python only, transformers must have the class itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symbiont.common.artifacts import MANIFEST, is_file_name
from symbiont.common.errors import InvalidArgument
from symbiont.common.expressions import check_definition
from symbiont.common.sources import check_links, read_object
from symbiont.tokenization.library import DEFINITION, FORMAT_VERSION, SLOW_BACKEND
from symbiont.tokenization.slow_settings import CONFIG, check_settings

SMALLEST_MAXIMUM, LARGEST_MAXIMUM = 8, 1 << 20
MAX_FILE_BYTES = 64 << 20
# Positions that a model of these types keeps for itself.
_KEPT_POSITIONS = {"roberta": 2, "xlm-roberta": 2, "camembert": 2}
# What the slow tokenizers of transformers save: vocabularies and their settings, never code or pickles.
_SLOW_SUFFIXES = frozenset({".json", ".txt", ".model", ".vocab", ".bpe", ".tiktoken"})
_NOT_OF_TOKENIZER = frozenset({"config.json", "generation_config.json", "model.safetensors.index.json"})

Files = Mapping[str, Path | bytes]


def is_source(folder: Path) -> bool:
    """Whether a tokenizer lies in a folder."""
    return (folder / DEFINITION).is_file() or (folder / CONFIG).is_file()


def read_source(folder: Path, field: str, max_tokens: int) -> tuple[Files, dict[str, Any]]:
    """Returns the files of a tokenizer, and what its manifest says beside them.

    Args:
        folder: where it lies.
        field: path of the request field that named the folder.
        max_tokens: longest sequence in tokens; 0 takes what the files beside it say.

    Raises:
        InvalidArgument: there is none, it is not one that can serve, or `max_tokens` is out of its range.
    """
    check_links(field, folder)
    fields: dict[str, Any] = {
        "kind": "tokenizer",
        "format_version": FORMAT_VERSION,
        "max_tokens": _max_tokens(folder, field, max_tokens),
    }
    definition = folder / DEFINITION
    if definition.is_file():
        check_definition(field, definition)
        return {DEFINITION: definition}, fields
    if not (folder / CONFIG).is_file():
        problem = f"there is neither {DEFINITION} nor {CONFIG} in it; write them with a tokenizer's save_pretrained"
        raise InvalidArgument(field, problem)
    config = _json(folder / CONFIG, field)
    if "auto_map" in config:
        raise InvalidArgument(field, f"{CONFIG} asks for code of its own (auto_map), which is not run")
    name = config.get("tokenizer_class")
    if not isinstance(name, str):
        raise InvalidArgument(field, f"{CONFIG} names no tokenizer_class, and there is no {DEFINITION}")
    check_settings(field, folder)
    return _slow_files(folder, field), {**fields, "backend": SLOW_BACKEND, "class": name}


def _slow_files(folder: Path, field: str) -> Files:
    files = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in _SLOW_SUFFIXES and path.name not in _NOT_OF_TOKENIZER
    }
    for name, path in files.items():
        if not is_file_name(name) or name == MANIFEST:
            raise InvalidArgument(field, f"{name!r} is not a name that a file of a tokenizer may have; remove the file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidArgument(field, f"{name} is over {MAX_FILE_BYTES} bytes")
    return files


def _max_tokens(folder: Path, field: str, asked: int) -> int:
    if asked:
        if not SMALLEST_MAXIMUM <= asked <= LARGEST_MAXIMUM:
            problem = f"{asked} is not between {SMALLEST_MAXIMUM} and {LARGEST_MAXIMUM}"
            raise InvalidArgument("max_tokens", problem, reason="MAX_TOKENS")
        return asked
    tokenizer = _json(folder / CONFIG, field).get("model_max_length")
    model = _json(folder / "config.json", field)
    positions = model.get("max_position_embeddings")
    kept = _KEPT_POSITIONS.get(str(model.get("model_type")), 0)
    limits = [_limit(tokenizer), _limit(positions) - kept if isinstance(positions, int) else LARGEST_MAXIMUM]
    return max(SMALLEST_MAXIMUM, min(limits))


def _limit(value: Any) -> int:
    # Transformers writes 1e30 for "no limit".
    known = isinstance(value, int | float) and 0 < value < LARGEST_MAXIMUM
    return int(value) if known else LARGEST_MAXIMUM


def _json(path: Path, field: str) -> dict[str, Any]:
    """Reads a JSON object; a file that is not there is an empty one."""
    return read_object(field, path) if path.is_file() else {}
