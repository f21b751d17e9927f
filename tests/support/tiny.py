"""A tiny random base model with a real WordPiece tokenizer, and rows that it can learn within seconds."""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel

SENTENCES = [
    "the loan was repaid on time and the bank was pleased",
    "the loan was never repaid and the bank lost money",
    "what is the interest rate of this card",
    "你好，请问这张卡的利率是多少",
    "银行很满意，贷款按时还清了",
    "贷款没有还，银行亏了钱",
]
GOOD = ["good", "great", "pleased", "happy", "满意", "很好"]
BAD = ["bad", "awful", "lost", "angry", "亏", "糟糕"]
FILLER = ["the", "bank", "card", "loan", "service", "today", "银行", "服务", "was", "is"]


def save_tokenizer(folder: Path) -> None:
    """Saves a small WordPiece tokenizer with BERT's shape: words, letters, and letters within words."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # A trainer would take other tokens each time, and what is learnt on random embeddings would differ with them.
    found = {word for text in SENTENCES + GOOD + BAD + FILLER for word in _words(tokenizer, text)}
    letters = {letter for word in found for letter in word}
    tokens = [*special, *sorted(letters | found | {f"##{letter}" for letter in letters})]
    tokenizer.model = models.WordPiece({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]")
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 64}))


def _words(tokenizer: Tokenizer, text: str) -> list[str]:
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))]


def save_base(folder: Path, seed: int = 0, family: str = "bert", vocab_size: int = 400) -> Path:
    """Saves a random encoder of 2 layers x 32 with its tokenizer, in Hugging Face layout."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    if family == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    # RoBERTa's positions begin after its padding id.
    positions = 66 if "roberta" in family else 64
    config = AutoConfig.for_model(family, vocab_size=vocab_size, max_position_embeddings=positions, **sizes)
    AutoModel.from_config(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def labelled_rows(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Returns (text, label) rows, good or bad by one telling word."""
    source = random.Random(seed)
    rows = []
    for i in range(count):
        words = source.choices(FILLER, k=source.randint(2, 12))
        words.insert(source.randint(0, len(words)), source.choice(GOOD if i % 2 else BAD))
        rows.append((" ".join(words), "good" if i % 2 else "bad"))
    return rows


def csv_of(rows: list[tuple[str, str]]) -> bytes:
    """Returns rows without commas or quotes as a CSV file."""
    return "\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]).encode()
