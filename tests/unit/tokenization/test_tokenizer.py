"""What a tokenizer says of itself, and which ones cannot serve.

That its tokens are right is shown by tests/contract/tokenization/test_exact.py.
"""

import pytest
from tokenizers import Tokenizer, models, processors

from support.tokenizers import mute
from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument
from symbiont.tokenization.tokenizer import FastTokenizer, check_pairs

DIGEST = "d" * 64


def test_it_describes_itself(definitions: dict[str, bytes]) -> None:
    info = FastTokenizer(DIGEST, definitions["minilm"], 512).info
    assert (info.family, info.vocabulary_size, info.max_tokens) == ("WordPiece", 30522, 512)
    assert [(t.token, t.id) for t in info.special_tokens] == [
        ("[PAD]", 0),
        ("[UNK]", 100),
        ("[CLS]", 101),
        ("[SEP]", 102),
        ("[MASK]", 103),
    ]
    assert (info.pad_id, info.unknown_id, info.byte_level, info.slow) == (0, 100, False, False)


@pytest.mark.parametrize(
    ("name", "family", "byte_level", "pad", "unknown", "around"),
    [
        ("wordpiece", "WordPiece", False, 0, 1, (2, 3)),
        ("byte_bpe", "BPE", True, 1, None, (2, 4)),
        ("fallback_bpe", "BPE", True, 3, 0, (1, 2)),
        ("unigram", "Unigram", False, 1, 3, (2, 4)),
        ("bare", "WordPiece", False, 0, 1, (0, 0)),
    ],
)
def test_every_family_is_told(
    definitions: dict[str, bytes],
    name: str,
    family: str,
    byte_level: bool,
    pad: int,
    unknown: int | None,
    around: tuple[int, int],
) -> None:
    info = FastTokenizer(DIGEST, definitions[name], 9).info
    assert (info.family, info.byte_level, info.pad_id, info.unknown_id) == (family, byte_level, pad, unknown)
    assert (info.special_tokens_per_text, info.special_tokens_per_pair) == around


def test_a_tokenizer_that_would_join_the_texts_of_a_pair_takes_none(definitions: dict[str, bytes]) -> None:
    bare = FastTokenizer(DIGEST, definitions["bare"], 9)
    assert not bare.info.takes_pairs
    with pytest.raises(InvalidArgument) as caught:
        check_pairs(bare, "pair_texts")
    assert (caught.value.field, caught.value.reason) == ("pair_texts", "PAIRS")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": 1}'])
def test_what_is_no_tokenizer_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        FastTokenizer(DIGEST, content, 512)


def test_one_that_cannot_encode_its_own_tokens_is_refused() -> None:
    with pytest.raises(IntegrityError, match="cannot serve"):
        FastTokenizer(DIGEST, mute(), 512)


def test_special_tokens_inside_the_text_are_refused() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "[X]": 2}, []))
    tokenizer.post_processor = processors.TemplateProcessing(single="[X] $A [X] $A", special_tokens=[("[X]", 2)])
    with pytest.raises(IntegrityError, match="stand around the text"):
        FastTokenizer(DIGEST, tokenizer.to_str().encode(), 512)


@pytest.mark.parametrize("detail", [False, True])
def test_a_text_that_cannot_be_encoded_is_not_the_callers_fault(detail: bool) -> None:
    definition = Tokenizer(models.WordPiece({"a": 0})).to_str().encode()
    with pytest.raises(FailedPrecondition, match="cannot encode"):
        FastTokenizer(DIGEST, definition, 512).encode(["zzz"], detail=detail)


def test_of_scripts_without_spaces_each_token_is_a_word(definitions: dict[str, bytes]) -> None:
    """Of a tokenizer that cuts at spaces, for which a Chinese sentence is one word."""
    text = "取消订单BERT模型 ok today"
    (content,) = FastTokenizer(DIGEST, definitions["unigram"], 64).encode([text], detail=True)
    assert content.words is not None
    assert content.offsets is not None
    of_word: dict[int, list[str]] = {}
    for word, (start, end) in zip(content.words, content.offsets, strict=True):
        of_word.setdefault(word, []).append(text[start:end])
    assert list(of_word) == list(range(len(of_word)))
    joined = ["".join(parts).strip() for parts in of_word.values()]
    assert joined[-2:] == ["ok", "today"]
    assert "BERT" in joined
    assert len([word for word in joined if not word.isascii()]) > 1
