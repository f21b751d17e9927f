"""Expressions of tokenizers that take for ever are found; those of real tokenizers are not taken for such."""

import json
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument
from symbiont.common.expressions import check_definition, endless_letter
from symbiont.tokenization.tokenizer import FastTokenizer

# Of GPT-2 and of Llama 3.
GPT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
LLAMA = _WORDS + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def tokenizer(pattern: str = "", replaced: str = "") -> Tokenizer:
    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated") if pattern else pre_tokenizers.Whitespace()
    if replaced:
        made.normalizer = normalizers.Replace(Regex(replaced), "")
    return made


@pytest.mark.parametrize(
    ("pattern", "letter"), [(r"(a+)+$", "a"), (r"(\w+\s?)*$", "a"), (r"(x+x+)+y", "x"), (r"(银+银+)+行", "银")]
)
def test_an_expression_that_takes_for_ever_is_found(pattern: str, letter: str, tmp_path: Path) -> None:
    for made in (tokenizer(pattern), tokenizer(replaced=pattern)):
        assert endless_letter(made, json.loads(made.to_str())) == letter
        made.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(InvalidArgument, match="takes for ever, for example on") as refused:
            check_definition("folder", tmp_path / "tokenizer.json")
        assert (refused.value.field, refused.value.reason) == ("folder", "TOKENIZER_EXPRESSION")


@pytest.mark.parametrize("pattern", ["", GPT, LLAMA, r"\s+", r"(a*)*b"])
def test_one_that_ends_is_not(pattern: str, tmp_path: Path) -> None:
    made = tokenizer(pattern)
    made.save(str(tmp_path / "tokenizer.json"))
    check_definition("folder", tmp_path / "tokenizer.json")


def test_a_vocabulary_that_lacks_letters_is_no_fault() -> None:
    made = tokenizer(GPT)
    made.model = models.BPE({"a": 0}, [])
    assert endless_letter(made, json.loads(made.to_str())) == ""


def test_a_text_on_which_the_library_gives_up_is_refused() -> None:
    """As of a tokenizer that was stored before expressions were tried."""
    made = FastTokenizer("d" * 64, tokenizer(r"(a+)+$").to_str().encode(), 128)
    assert json.loads(tokenizer().to_str())["model"]["type"] == "WordLevel"
    with pytest.raises(FailedPrecondition, match=r"cannot encode these texts: .*retry-limit"):
        made.encode(["a" * 40 + "!"], detail=False)
    assert made.encode(["bank"], detail=False)[0].ids == [0]


def test_what_the_library_reads_and_is_no_json_is_refused(tmp_path: Path) -> None:
    """Found by chance: a key without a value."""
    text = tokenizer().to_str(pretty=True).replace('"version": "1.0",', '"versio.0",', 1)
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    Tokenizer.from_str(text)
    with pytest.raises(InvalidArgument, match="is not a tokenizer: Expecting ':'"):
        check_definition("folder", tmp_path / "tokenizer.json")
    with pytest.raises(IntegrityError, match="cannot be read"):
        FastTokenizer("d" * 64, text.encode(), 128)
