"""Tiny random language models with a real tokenizer, and what transformers' own generation makes of them."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, processors
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from support.tokenizers import byte_bpe
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.row import Ids
from symbiont.training.language_models import FAMILIES

MAX_LENGTH = 128
EOS = 2
CHAT_TEMPLATE = (
    "{% if messages[-1]['role'] != 'user' %}{{ raise_exception('the last turn must be the user\\'s') }}{% endif %}"
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
_COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    # The default, 0.02, leaves so small a model almost linear: errors in attention would not show.
    "initializer_range": 0.3,
}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "initializer_factor": 4.0}
_SLIDING = {"sliding_window": 12}
# What a family takes beside, or in place of, the common sizes.
_SIZES: dict[str, dict[str, Any]] = {
    "gemma2": _COMMON | _SLIDING | {"head_dim": 8},
    "gemma3_text": _COMMON | _SLIDING | {"head_dim": 8},
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neox": {key: value for key, value in _COMMON.items() if key != "num_key_value_heads"},
    "mistral": _COMMON | _SLIDING,
    "mt5": _T5,
    "qwen3": _COMMON | {"head_dim": 8},
    "t5": _T5,
}


def tiny_model(family: str = "llama", *, seed: int = 0, vocab_size: int = 97, max_length: int = MAX_LENGTH) -> Any:
    """Returns a random model of two layers, all its parameters at random: none of them may be without effect."""
    torch.manual_seed(seed)
    positions = "n_positions" if family.startswith("gpt2") or family == "gpt_bigcode" else "max_position_embeddings"
    ids = {"eos_token_id": EOS, "bos_token_id": 1, "pad_token_id": 3}
    sizes = dict(_SIZES.get(family, _COMMON))
    if FAMILIES[family] == "seq2seq":
        ids["decoder_start_token_id"] = 3
    else:
        sizes[positions] = max_length
    config = AutoConfig.for_model(family, vocab_size=vocab_size, **ids, **sizes)
    loader = AutoModelForSeq2SeqLM if FAMILIES[family] == "seq2seq" else AutoModelForCausalLM
    model = loader.from_config(config).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, float("norm" in name and "bias" not in name), 0.3)
    return model


def store_model(store: ArtifactStore, model: PreTrainedModel, *, max_length: int = MAX_LENGTH) -> str:
    """Stores a model as registration does; returns its digest."""
    kind = FAMILIES[model.config.model_type]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        files: dict[str, Path | bytes] = {
            path.name: path.read_bytes() for path in Path(folder).iterdir() if path.suffix in (".json", ".safetensors")
        }
    fields = {"kind": "base", "format_version": 1, "model_kind": kind, "max_length": max_length, "special_tokens": {}}
    return store.put("bases", files, fields)


def prompts(count: int, *, seed: int = 0, longest: int = 60, vocab_size: int = 97) -> list[Ids]:
    """Returns prompts of random ids and lengths."""
    source = np.random.default_rng(seed)
    lengths = source.integers(1, longest + 1, size=count)
    return [source.integers(4, vocab_size, size=length, dtype=np.int32) for length in lengths]


def greedy(model: Any, prompt: Ids | Sequence[int], max_tokens: int) -> list[int]:
    """Returns what transformers' own generation adds to one prompt alone."""
    ids = torch.tensor(np.asarray(prompt), dtype=torch.long)[None]
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False)[0]
    ids_made: list[int] = made.tolist()
    return ids_made[1:] if FAMILIES[model.config.model_type] == "seq2seq" else ids_made[ids.shape[1] :]


def save_language_model(folder: Path, family: str = "llama", *, max_length: int = MAX_LENGTH, seed: int = 0) -> Any:
    """Saves a tiny model with a tokenizer and a chat template in Hugging Face layout; returns the model."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer: Tokenizer = byte_bpe()
    # As Llama's: a beginning and no end.
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    model = tiny_model(family, seed=seed, vocab_size=tokenizer.get_vocab_size(), max_length=max_length)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "model_max_length": max_length}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return model


def library_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Returns transformers' own tokenizer over a saved folder."""
    made = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.chat_template = (folder / "chat_template.jinja").read_text()
    return made
