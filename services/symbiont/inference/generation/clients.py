"""The services that a generation calls."""

from collections.abc import Sequence

import grpc

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2_grpc
from symbiont.api.training.v1 import base_model_pb2, base_model_pb2_grpc
from symbiont.common.channel import translated
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound
from symbiont.inference.clients import TOKENIZATION, TRAINING
from symbiont.inference.generation import convert
from symbiont.inference.generation.types import Base
from symbiont.inference.tokens import Ids


class BaseRegistryClient:
    """The registry of base models, which the training service keeps."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = base_model_pb2_grpc.BaseModelServiceStub(channel)

    async def base(self, identifier: str, timeout_s: float) -> Base:
        """Returns a base model; NotFound when there is none of that id."""
        request = base_model_pb2.GetBaseModelRequest(name=f"bases/{identifier}")
        with translated(TRAINING):
            return convert.base_from_proto(await self._stub.GetBaseModel(request, timeout=timeout_s))


class TokenizerClient:
    """The tokenization service. One that lacks the tokenizer of a registered base raises FailedPrecondition."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = tokenization_pb2_grpc.TokenizationServiceStub(channel)

    async def encode(self, digest: str, text: str, *, special_tokens: bool, timeout_s: float) -> Ids:
        """Returns the ids of a text; InvalidArgument when it is over the tokenizer's maximum."""
        options = pb.TokenizeOptions(truncation=pb.TRUNCATION_REFUSE, omit_special_tokens=not special_tokens)
        request = pb.TokenizeRequest(tokenizer=f"tokenizers/{digest}", texts=[text], options=options)
        try:
            with translated(TOKENIZATION):
                response = await self._stub.Tokenize(request, timeout=timeout_s)
        except NotFound as exc:
            raise FailedPrecondition(f"the tokenization service refused: {exc}") from exc
        if response.tokenizer_digest != digest:
            problem = f"the tokenizer {digest} was asked for, but {response.tokenizer_digest} answered"
            raise FailedPrecondition(problem, reason="SKEW")
        return convert.ids_from_proto(response)

    async def decode(self, digest: str, rows: Sequence[Sequence[int]], timeout_s: float) -> Sequence[str]:
        """Returns the text of each row, without special tokens."""
        request = pb.DecodeRequest(
            tokenizer=f"tokenizers/{digest}",
            ids=[identifier for row in rows for identifier in row],
            lengths=[len(row) for row in rows],
        )
        try:
            with translated(TOKENIZATION):
                return list((await self._stub.Decode(request, timeout=timeout_s)).texts)
        except (NotFound, InvalidArgument) as exc:
            raise FailedPrecondition(f"the tokenization service refused: {exc}") from exc
