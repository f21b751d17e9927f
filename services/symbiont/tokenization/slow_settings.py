"""What may be said beside a slow tokenizer: transformers hands all settings to its class, and some name files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from symbiont.common.errors import InvalidArgument
from symbiont.common.sources import read_object

CONFIG, SPECIAL_TOKENS = "tokenizer_config.json", "special_tokens_map.json"
_LISTS_OF_TOKENS = frozenset({"extra_special_tokens", "additional_special_tokens"})
# Published settings hold paths of the machine that wrote them here, which transformers does not open.
_NOT_OPENED = frozenset({"added_tokens_file", "special_tokens_map_file", "tokenizer_file"})


def check_settings(field: str, folder: Path) -> None:
    """Refuses settings by which a tokenizer would read a file outside its folder.

    Args:
        field: path of the request field that named the folder.

    Raises:
        InvalidArgument: names the setting.
    """
    for key in _object(field, folder / SPECIAL_TOKENS):
        if not key.endswith("_token") and key not in _LISTS_OF_TOKENS:
            raise InvalidArgument(field, f"{SPECIAL_TOKENS} says {key!r}, which is no special token; remove it")
    config = _object(field, folder / CONFIG)
    if config.get("init_inputs"):
        raise InvalidArgument(field, f"{CONFIG} has init_inputs, which are not taken; remove them")
    for key, name in _files(config):
        if "/" in name or "\\" in name:
            problem = f"{CONFIG} says in {key} that a file is {name[:200]!r}; remove it: files of the folder are found"
            raise InvalidArgument(field, problem)


def _files(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if key == "fast_tokenizer_files" or (key.endswith("_file") and key not in _NOT_OPENED):
            yield from ((key, str(name)) for name in (value if isinstance(value, list) else [value]))


def _object(field: str, path: Path) -> dict[str, Any]:
    """Reads a JSON object; a file that is not there is an empty one."""
    return read_object(field, path) if path.is_file() else {}
