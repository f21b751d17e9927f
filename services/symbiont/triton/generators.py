"""The asyncio client of the language models in one Triton: loads what is missing, streams tokens or text."""

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc.aio as triton  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from symbiont.common.errors import Unavailable
from symbiont.engine.generation import wire
from symbiont.engine.generation.settings import GeneratorSettings
from symbiont.engine.generation.types import Finish, Piece, Sampling
from symbiont.engine.row import Ids
from symbiont.triton import generator_model as model
from symbiont.triton.client import check_server, is_true
from symbiont.triton.connection import Connection, TritonTls
from symbiont.triton.streams import Control, Request, Streams
from symbiont.triton.translate import HostNotLoaded, translate

_LOAD_TIMEOUT_S = 600.0
_READY_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class TextPiece:
    """New text of vLLM: the number of tokens in it and of those read, and why it ended if it did."""

    text: str
    tokens: int
    prompt_tokens: int
    finish: Finish | None


class _Models:
    """What both kinds share: the connection, and a model that is loaded when it is missing."""

    def __init__(self, url: str, settings: GeneratorSettings, tls: TritonTls | None = None) -> None:
        """Connects lazily.

        Args:
            url: host:port of Triton's gRPC service.
            settings: for every model that this client loads; `base_digest` is set per model.
            tls: None for a plain connection.
        """
        self._url = url
        self._settings = settings
        self._connection = Connection(url, tls)
        self._streams = Streams(self._connection, url)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # How often this client has loaded a model: tells a caller whether another one mended it meanwhile.
        self._loads: defaultdict[str, int] = defaultdict(int)

    @property
    def _client(self) -> triton.InferenceServerClient:
        return self._connection.client

    @property
    def open_streams(self) -> int:
        """Number of generations that run in Triton for this client."""
        return len(self._streams)

    async def close(self, grace_s: float = 5.0) -> None:
        """Gives generations that still run `grace_s` to end, then closes the connection."""
        await self._streams.close(grace_s)
        await self._connection.close()

    async def check(self) -> None:
        """Returns when Triton takes requests; raises as `HostClient.check` does."""
        await check_server(self._client, self._url)

    async def ready(self, base_digest: str) -> bool:
        """Whether a model is loaded and its process lives."""
        name = model.generator_name(base_digest)
        return await is_true(self._client.is_model_ready(name, client_timeout=_READY_TIMEOUT_S))

    async def _responses(
        self, base: str, request: Request, control: Control | None, load: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[list[Any], None]:
        """Yields the responses of a request, as they come; a model that is not loaded is loaded first."""
        loads, begun = self._loads[base], False
        try:
            async with aclosing(self._streams.responses(request, control)) as responses:
                async for some in responses:
                    begun = True
                    yield some
            return
        except HostNotLoaded as exc:
            # What was given out cannot be taken back: the caller must ask again.
            if begun:
                raise
            await self._load(base, load, seen=loads, broken=exc.broken)
        async with aclosing(self._streams.responses(request, control)) as responses:
            async for some in responses:
                yield some

    async def _load(self, base: str, load: Callable[[], Awaitable[None]], *, seen: int, broken: bool) -> None:
        """Loads a model unless it is ready, or was loaded since the caller saw `seen` loads of it.

        broken: its process died. Triton may still call it ready, so this is not asked.
        """
        async with self._locks[base]:
            if self._loads[base] != seen or (not broken and await self.ready(base)):
                return
            try:
                if broken:
                    # Loading over it would only compare configurations, find them equal, and leave it dead.
                    name = model.generator_name(base)
                    await self._client.unload_model(name, client_timeout=_LOAD_TIMEOUT_S)
                await load()
            except InferenceServerException as exc:
                raise translate(exc, self._url) from exc
            except grpc.aio.UsageError as exc:
                raise Unavailable(f"the connection to Triton at {self._url} is closed") from exc
            self._loads[base] += 1


class TokenGenerators(_Models):
    """Language models of Symbiont's own engine: ids in, ids out."""

    async def generate(
        self, base_digest: str, ids: Ids, max_tokens: int, sampling: Sampling, *, timeout_s: float, request_id: str
    ) -> AsyncGenerator[Piece, None]:
        """Yields the tokens of a sequence as they are made; leaving early stops it within Triton.

        Raises:
            InvalidArgument: it does not fit the model.
            ResourceExhausted: too many sequences wait.
            FailedPrecondition, NotFound, IntegrityError: Triton cannot load the model; the message says why.
            Unavailable: Triton cannot be reached, or died; the next call may find it back.
        """
        # A stop names the sequence, so no two may share a name, whatever callers call their requests.
        name = f"{request_id}.{uuid.uuid4().hex[:16]}"
        triton_model = model.generator_name(base_digest)
        request = _request(triton_model, name, wire.pack_request(ids, max_tokens, sampling, timeout_s), _KINDS)
        stop = _request(triton_model, f"{name}.stop", wire.pack_stop(name), _KINDS)
        renewal = _request(triton_model, f"{name}.renew", wire.pack_renewal(name), _KINDS)
        control = Control(stop, renewal, self._settings.lease_s / 3)
        settings = replace(self._settings, base_digest=base_digest)

        async def load() -> None:
            config = model.config_json(model.generator_config(settings))
            files = model.generator_files()
            await self._client.load_model(triton_model, config=config, files=files, client_timeout=_LOAD_TIMEOUT_S)

        async with aclosing(self._responses(base_digest, request, control, load)) as responses:
            async for some in responses:
                pieces = [_piece(response) for response in some]
                last = pieces[-1]
                yield Piece([token for piece in pieces for token in piece.ids], last.finish, last.queued_s)


class TextGenerators(_Models):
    """Language models of Triton's vLLM backend: text in, text out."""

    def __init__(
        self, url: str, settings: GeneratorSettings, engine_args: Mapping[str, Any], tls: TritonTls | None = None
    ) -> None:
        """As for `TokenGenerators`; `engine_args` go to vLLM's engine."""
        super().__init__(url, settings, tls)
        self._engine_args = engine_args

    async def generate(
        self,
        base_digest: str,
        tokenizer_digest: str,
        prompt: str,
        max_tokens: int,
        sampling: Sampling,
        *,
        request_id: str,
    ) -> AsyncGenerator[TextPiece, None]:
        """Yields text as it is made; leaving early cancels the stream, which is how vLLM's backend is stopped.

        Raises as `TokenGenerators.generate` does.
        """
        triton_model = model.generator_name(base_digest)
        request = _request(triton_model, request_id or uuid.uuid4().hex, _vllm(prompt, max_tokens, sampling), _VLLM)
        settings = replace(self._settings, base_digest=base_digest)

        async def load() -> None:
            config = model.config_json(model.vllm_config(settings))
            files = model.vllm_files(settings, tokenizer_digest, self._engine_args)
            await self._client.load_model(triton_model, config=config, files=files, client_timeout=_LOAD_TIMEOUT_S)

        async with aclosing(self._responses(base_digest, request, None, load)) as responses:
            async for some in responses:
                pieces = [_text_piece(response) for response in some]
                last = pieces[-1]
                text, tokens = "".join(piece.text for piece in pieces), sum(piece.tokens for piece in pieces)
                yield TextPiece(text, tokens, last.prompt_tokens, last.finish)


_KINDS = {name: kind for name, (kind, _, _) in wire.INPUTS.items()}
_VLLM = {np.dtype(np.object_): "BYTES", np.dtype(np.bool_): "BOOL"}
# What vLLM calls the ends that are ours too; `stop` there is an end token, for it is given no stop texts.
_FINISHES = {"stop": Finish.EOS, "length": Finish.LENGTH, "abort": Finish.CANCELLED}


def _request(triton_model: str, name: str, tensors: wire.Tensors, kinds: Mapping[Any, str]) -> Request:
    inputs = []
    for tensor, values in tensors.items():
        made = triton.InferInput(tensor, list(values.shape), kinds.get(tensor) or kinds[values.dtype])
        made.set_data_from_numpy(values)
        inputs.append(made)
    return {"model_name": triton_model, "inputs": inputs, "request_id": name}


def _vllm(prompt: str, max_tokens: int, sampling: Sampling) -> wire.Tensors:
    parameters = {
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        # vLLM's word for all of them.
        "top_k": sampling.top_k or -1,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
    }
    flags = (model.STREAM, model.EXCLUDE_INPUT, model.RETURN_FINISH_REASON)
    counts = (model.RETURN_INPUT_TOKENS, model.RETURN_OUTPUT_TOKENS)
    texts = {model.TEXT_INPUT: prompt, model.SAMPLING_PARAMETERS: json.dumps(parameters)}
    return {name: np.array([text.encode()], dtype=np.object_) for name, text in texts.items()} | {
        name: np.array([True]) for name in (*flags, *counts)
    }


def _piece(response: Any) -> Piece:
    return wire.unpack_piece({name: response.as_numpy(name) for name in wire.OUTPUTS})


def _text_piece(response: Any) -> TextPiece:
    texts = response.as_numpy(model.TEXT_OUTPUT)
    reasons, read, made = (
        response.as_numpy(name) for name in (model.FINISH_REASON, model.INPUT_TOKENS, model.OUTPUT_TOKENS)
    )
    reason = reasons[0].decode() if reasons is not None else ""
    tokens, prompt_tokens = (int(values.reshape(-1)[0]) if values is not None else 0 for values in (made, read))
    return TextPiece(texts.reshape(-1)[0].decode(), tokens, prompt_tokens, _FINISHES.get(reason))
