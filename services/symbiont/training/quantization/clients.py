"""The service that quantisation calls."""

from collections.abc import Sequence

import grpc

from symbiont.api.tokenization.v1 import tokenization_pb2, tokenization_pb2_grpc
from symbiont.common.channel import translated
from symbiont.common.errors import FailedPrecondition, NotFound

TIMEOUT_S = 60.0


class TokenizationClient:
    """The tokenization service, asked once."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = tokenization_pb2_grpc.TokenizationServiceStub(channel)

    async def tokenize(self, digest: str, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Returns the ids of each text.

        Raises:
            InvalidArgument: a text cannot be tokenized; its field is `texts[i]`.
            FailedPrecondition: the service has no such tokenizer.
            Unavailable: it cannot be reached.
        """
        request = tokenization_pb2.TokenizeRequest(tokenizer=f"tokenizers/{digest}", texts=texts, max_tokens=max_tokens)
        try:
            with translated("tokenization"):
                response = await self._stub.Tokenize(request, timeout=TIMEOUT_S)
        except NotFound as exc:
            raise FailedPrecondition(f"the tokenization service refused: {exc}") from exc
        ids = iter(response.ids)
        return [[next(ids) for _ in range(length)] for length in response.lengths]
