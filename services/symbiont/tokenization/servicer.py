"""Where a tokenization RPC enters: decode, call the domain, encode."""

from typing import Any

import grpc
from typing_extensions import override

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2_grpc as pb_grpc
from symbiont.common.server import Registration
from symbiont.tokenization import convert
from symbiont.tokenization.tokenization import Tokenization

_Context = grpc.aio.ServicerContext[Any, Any]


class TokenizationServicer(pb_grpc.TokenizationServiceServicer):
    """symbiont.tokenization.v1.TokenizationService."""

    def __init__(self, tokenization: Tokenization) -> None:
        self._tokenization = tokenization

    @override
    async def GetTokenizer(self, request: pb.GetTokenizerRequest, context: _Context) -> pb.Tokenizer:
        """Returns one tokenizer."""
        return convert.tokenizer_to_proto(await self._tokenization.get(request.name))

    @override
    async def ListTokenizers(self, request: pb.ListTokenizersRequest, context: _Context) -> pb.ListTokenizersResponse:
        """Returns a page of tokenizers."""
        return convert.page_to_proto(*await self._tokenization.list(request.page_size, request.page_token))

    @override
    async def Tokenize(self, request: pb.TokenizeRequest, context: _Context) -> pb.TokenizeResponse:
        """Tokenizes a batch of texts."""
        call = convert.tokenize_call_from_proto(request)
        return convert.encoded_to_proto(await self._tokenization.tokenize(call))


def registration(tokenization: Tokenization) -> Registration:
    """Joins the servicer to its place in a server."""
    name = pb.DESCRIPTOR.services_by_name["TokenizationService"].full_name
    return Registration(name, TokenizationServicer(tokenization), pb_grpc.add_TokenizationServiceServicer_to_server)
