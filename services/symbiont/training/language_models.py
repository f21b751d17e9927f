"""What a base that generates has and an encoder has not: its kind, its chat template, its special tokens by role."""

from pathlib import Path
from typing import Any

from symbiont.common.errors import InvalidArgument
from symbiont.common.sources import read_object, whole_number

FIELD = "base_model.source"
# Families whose answers are held to transformers' own, with what each does.
FAMILIES = {
    **dict.fromkeys(
        (
            "gemma2",
            "gemma3_text",
            "gpt2",
            "gpt_bigcode",
            "gpt_neox",
            "llama",
            "mistral",
            "olmo2",
            "phi",
            "phi3",
            "qwen2",
            "qwen3",
            "smollm3",
        ),
        "causal",
    ),
    **dict.fromkeys(("mt5", "t5"), "seq2seq"),
}
CHAT_TEMPLATE = "chat_template.jinja"
GENERATION_CONFIG = "generation_config.json"
_MAX_TEMPLATE_BYTES = 1 << 20
_HIDDEN_SIZE = ("hidden_size", "n_embd", "d_model")
_POSITIONS = ("max_position_embeddings", "n_positions")
# T5 has relative positions, so any number; this many it was trained with.
_RELATIVE_POSITIONS = 512
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def kind_of(config: dict[str, Any]) -> str | None:
    """Returns `causal` or `seq2seq`; None for what does not generate."""
    return FAMILIES.get(str(config.get("model_type")))


def check(config: dict[str, Any]) -> None:
    """Refuses a language model that cannot be loaded as it is."""
    if "quantization_config" in config:
        problem = "config.json has a quantization_config; register the model with plain weights and without it"
        raise InvalidArgument(FIELD, problem)
    if not _first(config, _HIDDEN_SIZE):
        raise InvalidArgument(FIELD, "config.json lacks hidden_size")
    if kind_of(config) == "causal" and not _first(config, _POSITIONS):
        raise InvalidArgument(FIELD, "config.json lacks max_position_embeddings")


def sizes(config: dict[str, Any]) -> tuple[int, int]:
    """Returns the width of the hidden states, and the number of positions."""
    positions = _first(config, _POSITIONS) or _RELATIVE_POSITIONS
    return (
        whole_number(FIELD, "hidden_size", _first(config, _HIDDEN_SIZE)),
        whole_number(FIELD, "max_position_embeddings", positions),
    )


def fields(kind: str, folder: Path) -> dict[str, Any]:
    """Returns what the manifest says of it beside what it says of every base."""
    return {"model_kind": kind, "special_tokens": _special_tokens(folder)}


def files(folder: Path) -> dict[str, Path | bytes]:
    """Returns the files that it has beside those of every base."""
    found: dict[str, Path | bytes] = {}
    if (folder / GENERATION_CONFIG).is_file():
        read_json(folder / GENERATION_CONFIG)
        found[GENERATION_CONFIG] = folder / GENERATION_CONFIG
    if template := _chat_template(folder):
        found[CHAT_TEMPLATE] = template
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; InvalidArgument when there is none."""
    return read_object(FIELD, path)


def _chat_template(folder: Path) -> bytes:
    """Returns the template, from a file of its own or, as older folders have it, from the tokenizer's settings."""
    file = folder / CHAT_TEMPLATE
    if file.is_file():
        template = file.read_bytes()
    else:
        named = _optional(folder, "tokenizer_config.json").get("chat_template") or ""
        if isinstance(named, list):
            named = next((entry["template"] for entry in named if entry.get("name") == "default"), "")
        template = str(named).encode()
    if len(template) > _MAX_TEMPLATE_BYTES:
        raise InvalidArgument(FIELD, f"its chat template is over {_MAX_TEMPLATE_BYTES} bytes")
    return template


def _special_tokens(folder: Path) -> dict[str, str]:
    known = {**_optional(folder, "special_tokens_map.json"), **_optional(folder, "tokenizer_config.json")}
    tokens = {role: known.get(role) for role in _ROLES}
    texts = {role: token.get("content") if isinstance(token, dict) else token for role, token in tokens.items()}
    return {role: text for role, text in texts.items() if isinstance(text, str)}


def _optional(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name) if (folder / name).is_file() else {}


def _first(config: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((config[name] for name in names if config.get(name)), None)
