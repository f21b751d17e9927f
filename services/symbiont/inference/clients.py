"""The services that inference calls."""

import re
from collections.abc import AsyncIterator, Sequence

import grpc

from symbiont.api.tokenization.v1 import tokenization_pb2_grpc
from symbiont.api.training.v1 import base_model_pb2, base_model_pb2_grpc, model_pb2, model_pb2_grpc
from symbiont.common.channel import translated
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound
from symbiont.inference import convert
from symbiont.inference.tokens import TokenQuery, Tokens
from symbiont.inference.types import Alias, AliasUpdate, LicensedBase, ModelVersion

TRAINING = "training"
TOKENIZATION = "tokenization"
LIST_TIMEOUT_S = 10.0
# How the tokenization service names one text, and all where they are too many bytes or give too many tokens.
_ALL_TEXTS = "texts"
_TEXT = re.compile(r"\btexts\[\d+\]")


class RegistryClient:
    """The registry of models, which the training service keeps."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = model_pb2_grpc.ModelServiceStub(channel)

    async def watch(self) -> AsyncIterator[AliasUpdate]:
        """Yields all aliases, then each change, until the stream ends or breaks."""
        with translated(TRAINING):
            async for message in self._stub.WatchModelAliases(model_pb2.WatchModelAliasesRequest()):
                yield convert.update_from_proto(message)

    async def aliases(self, model: str, timeout_s: float) -> Sequence[Alias]:
        """Returns the aliases of a model; NotFound when there is no such model."""
        with translated(TRAINING):
            found = await self._stub.GetModel(model_pb2.GetModelRequest(name=f"models/{model}"), timeout=timeout_s)
        return convert.aliases_from_proto(found.aliases)

    async def version(self, model: str, number: int, timeout_s: float) -> ModelVersion:
        """Returns a version of a model; NotFound when there is none."""
        request = model_pb2.GetModelVersionRequest(name=f"models/{model}/versions/{number}")
        with translated(TRAINING):
            return convert.version_from_proto(await self._stub.GetModelVersion(request, timeout=timeout_s))

    async def end_release(self, name: str, reason: str, timeout_s: float) -> None:
        """Ends a release because a rule was broken; one that has ended stays as it is."""
        request = model_pb2.EndReleaseRequest(name=name, reason=reason, rule_broken=True)
        with translated(TRAINING):
            await self._stub.EndRelease(request, timeout=timeout_s)


class BaseListClient:
    """The registry of base models, which the training service keeps."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = base_model_pb2_grpc.BaseModelServiceStub(channel)

    async def licensed(self) -> Sequence[LicensedBase]:
        """Returns all base models, with their terms."""
        found: list[LicensedBase] = []
        request = base_model_pb2.ListBaseModelsRequest(page_size=1000)
        with translated(TRAINING):
            while True:
                page = await self._stub.ListBaseModels(request, timeout=LIST_TIMEOUT_S)
                found += map(convert.licensed_from_proto, page.base_models)
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token


class TokenizationClient:
    """The tokenization service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = tokenization_pb2_grpc.TokenizationServiceStub(channel)

    async def tokenize(self, digest: str, query: TokenQuery, max_tokens: int, timeout_s: float) -> Tokens:
        """Tokenizes a batch.

        Raises:
            InvalidArgument: a pair does not fit; its field is `texts[i]`. Or all texts give more than one answer holds,
                as those that are read in windows may; its field is `instances`.
            FailedPrecondition: the service refuses what has passed the checks here, so that not the caller is wrong
                but what is stored: it has no such tokenizer, or one that takes fewer tokens.
        """
        request = convert.tokenize_request_to_proto(f"tokenizers/{digest}", query, max_tokens)
        try:
            with translated(TOKENIZATION):
                return convert.tokens_from_proto(await self._stub.Tokenize(request, timeout=timeout_s))
        except (NotFound, InvalidArgument) as exc:
            if isinstance(exc, InvalidArgument) and (found := _TEXT.search(str(exc))):
                # Texts have passed the checks one by one; that one leaves no room for another shows only here.
                raise InvalidArgument(found[0], str(exc).partition(": ")[2], reason="TEXT_TOO_LONG") from exc
            if isinstance(exc, InvalidArgument) and exc.field == _ALL_TEXTS:
                problem = f"their texts are too long for one call, send fewer: {exc}"
                raise InvalidArgument("instances", problem, reason="BATCH_TOO_LARGE") from exc
            raise FailedPrecondition(f"the tokenization service refused: {exc}") from exc
