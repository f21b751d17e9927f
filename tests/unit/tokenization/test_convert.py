"""Messages keep what the domain says, and the other way round."""

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.tokenization import convert
from symbiont.tokenization.types import Encoded, SpecialToken, TokenizeCall, TokenizerInfo

INFO = TokenizerInfo("d" * 64, "WordPiece", 30522, 512, (SpecialToken("[CLS]", 101), SpecialToken("[SEP]", 102)))


def test_a_tokenizer_survives_the_round_trip() -> None:
    message = pb.Tokenizer.FromString(convert.tokenizer_to_proto(INFO).SerializeToString())
    assert message.name == f"tokenizers/{INFO.digest}"
    assert convert.tokenizer_from_proto(message) == INFO


def test_a_call_is_read() -> None:
    request = pb.TokenizeRequest(tokenizer="tokenizers/x", texts=["a", "好"], max_tokens=7)
    assert convert.tokenize_call_from_proto(request) == TokenizeCall("tokenizers/x", ["a", "好"], 7)


def test_ids_are_packed() -> None:
    message = convert.encoded_to_proto(Encoded([1, 2, 3], [2, 1], [5, 1], "d" * 64))
    assert (list(message.ids), list(message.lengths), list(message.original_lengths)) == ([1, 2, 3], [2, 1], [5, 1])
    assert message.tokenizer_digest == "d" * 64


def test_a_page() -> None:
    message = convert.page_to_proto([INFO], "next")
    assert [convert.tokenizer_from_proto(m) for m in message.tokenizers] == [INFO]
    assert message.next_page_token == "next"
