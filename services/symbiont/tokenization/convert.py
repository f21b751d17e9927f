"""Between the messages of symbiont.tokenization.v1 and the domain."""

from collections.abc import Sequence

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.tokenization.types import Encoded, SpecialToken, TokenizeCall, TokenizerInfo

_COLLECTION = "tokenizers"


def tokenize_call_from_proto(request: pb.TokenizeRequest) -> TokenizeCall:
    """Reads a TokenizeRequest."""
    return TokenizeCall(request.tokenizer, list(request.texts), request.max_tokens)


def encoded_to_proto(encoded: Encoded) -> pb.TokenizeResponse:
    """Makes a TokenizeResponse."""
    return pb.TokenizeResponse(
        ids=encoded.ids,
        lengths=encoded.lengths,
        original_lengths=encoded.original_lengths,
        tokenizer_digest=encoded.digest,
    )


def tokenizer_to_proto(info: TokenizerInfo) -> pb.Tokenizer:
    """Makes a Tokenizer."""
    return pb.Tokenizer(
        name=f"{_COLLECTION}/{info.digest}",
        digest=info.digest,
        family=info.family,
        vocabulary_size=info.vocabulary_size,
        max_tokens=info.max_tokens,
        special_tokens=[pb.SpecialToken(token=special.token, id=special.id) for special in info.special_tokens],
    )


def tokenizer_from_proto(message: pb.Tokenizer) -> TokenizerInfo:
    """Reads a Tokenizer."""
    return TokenizerInfo(
        digest=message.digest,
        family=message.family,
        vocabulary_size=message.vocabulary_size,
        max_tokens=message.max_tokens,
        special_tokens=tuple(SpecialToken(special.token, special.id) for special in message.special_tokens),
    )


def page_to_proto(infos: Sequence[TokenizerInfo], next_page_token: str) -> pb.ListTokenizersResponse:
    """Makes a ListTokenizersResponse."""
    return pb.ListTokenizersResponse(
        tokenizers=[tokenizer_to_proto(info) for info in infos], next_page_token=next_page_token
    )
