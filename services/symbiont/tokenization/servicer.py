"""Where a tokenization RPC enters: decode, call the domain, encode."""

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from typing_extensions import override

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2_grpc as pb_grpc
from symbiont.common.server import Registration
from symbiont.tokenization import convert
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.tokenization import Tokenization

_Context = grpc.aio.ServicerContext[Any, Any]


class TokenizationServicer(pb_grpc.TokenizationServiceServicer):
    """symbiont.tokenization.v1.TokenizationService."""

    def __init__(self, catalogue: Catalogue, tokenization: Tokenization) -> None:
        self._catalogue = catalogue
        self._tokenization = tokenization

    @override
    async def GetTokenizer(self, request: pb.GetTokenizerRequest, context: _Context) -> pb.Tokenizer:
        """Returns one tokenizer."""
        return convert.tokenizer_to_proto(await self._catalogue.get(request.name))

    @override
    async def ListTokenizers(self, request: pb.ListTokenizersRequest, context: _Context) -> pb.ListTokenizersResponse:
        """Returns a page of tokenizers."""
        return convert.page_to_proto(*await self._catalogue.list(request.page_size, request.page_token))

    @override
    async def RegisterTokenizer(self, request: pb.RegisterTokenizerRequest, context: _Context) -> pb.Tokenizer:
        """Takes a tokenizer into the artifact store."""
        source = convert.source_from_proto(request)
        info = await self._catalogue.register(request.tokenizer_id, source, request.max_tokens)
        return convert.tokenizer_to_proto(info)

    @override
    async def DeriveTokenizer(
        self, request: pb.DeriveTokenizerRequest, context: _Context
    ) -> pb.DeriveTokenizerResponse:
        """Makes a tokenizer with a customer's terms."""
        derivation = await self._catalogue.derive(
            request.tokenizer, list(request.terms), request.tokenizer_id, list(request.sample)
        )
        return convert.derivation_to_proto(derivation)

    @override
    async def Tokenize(self, request: pb.TokenizeRequest, context: _Context) -> pb.TokenizeResponse:
        """Tokenizes a batch of texts."""
        settings, batch = convert.settings_from_proto(request), convert.batch_from_proto(request)
        return convert.encoded_to_proto(await self._tokenization.tokenize(settings, batch, _expires(context)))

    @override
    async def TokenizeStream(
        self, request_iterator: AsyncIterator[pb.TokenizeStreamRequest], context: _Context
    ) -> AsyncIterator[pb.TokenizeStreamResponse]:
        """Tokenizes batches as they come."""
        settings, batches = await convert.stream_from_proto(aiter(request_iterator))
        async with self._tokenization.stream(settings, batches) as parts:
            async for part in parts:
                yield convert.part_to_proto(part)

    @override
    async def CountTokens(self, request: pb.CountTokensRequest, context: _Context) -> pb.CountTokensResponse:
        """Counts the tokens of texts."""
        counted = await self._tokenization.count(
            request.tokenizer,
            convert.batch_from_proto(request),
            omit_special_tokens=request.omit_special_tokens,
            expires=_expires(context),
        )
        return convert.counts_to_proto(counted)

    @override
    async def Decode(self, request: pb.DecodeRequest, context: _Context) -> pb.DecodeResponse:
        """Turns rows of ids into texts."""
        ids, lengths = list(request.ids), list(request.lengths)
        texts, digest = await self._tokenization.decode(
            request.tokenizer, ids, lengths, keep_special_tokens=request.keep_special_tokens
        )
        return pb.DecodeResponse(texts=texts, tokenizer_digest=digest)

    @override
    async def LookUpVocabulary(
        self, request: pb.LookUpVocabularyRequest, context: _Context
    ) -> pb.LookUpVocabularyResponse:
        """Looks tokens and ids up."""
        ids, tokens, digest = await self._tokenization.look_up(
            request.tokenizer, list(request.tokens), list(request.ids)
        )
        return pb.LookUpVocabularyResponse(ids=ids, tokens=tokens, tokenizer_digest=digest)

    @override
    async def AnalyzeTexts(self, request: pb.AnalyzeTextsRequest, context: _Context) -> pb.TextReport:
        """Describes a sample of texts."""
        batch = convert.batch_from_proto(request)
        report = await self._tokenization.analyze(request.tokenizer, batch, request.max_tokens, _expires(context))
        return convert.report_to_proto(report)


def registration(catalogue: Catalogue, tokenization: Tokenization) -> Registration:
    """Joins the servicer to its place in a server."""
    name = pb.DESCRIPTOR.services_by_name["TokenizationService"].full_name
    servicer = TokenizationServicer(catalogue, tokenization)
    return Registration(name, servicer, pb_grpc.add_TokenizationServiceServicer_to_server)


def _expires(context: _Context) -> float | None:
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left
