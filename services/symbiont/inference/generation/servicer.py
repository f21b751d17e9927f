"""Where Generate enters, and how its parts are joined."""

from asyncio import Event
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import grpc
from typing_extensions import override

from symbiont.api.inference.v1 import generation_pb2 as pb
from symbiont.api.inference.v1 import generation_pb2_grpc as pb_grpc
from symbiont.common.artifacts import ArtifactStore, absolute_root
from symbiont.common.server import Registration
from symbiont.engine.generation.settings import GeneratorSettings
from symbiont.inference.deadline import Deadline
from symbiont.inference.generation import convert
from symbiont.inference.generation.bases import GeneratorShelf
from symbiont.inference.generation.by_ids import IdWriter
from symbiont.inference.generation.by_text import TextWriter
from symbiont.inference.generation.clients import BaseRegistryClient, TokenizerClient
from symbiont.inference.generation.generation import Generation
from symbiont.inference.generation.types import Limits
from symbiont.inference.licenses import Licenses
from symbiont.inference.metrics import GenerationMetrics
from symbiont.inference.scheduling.rates import UNLIMITED, Rates
from symbiont.inference.settings import InferenceSettings
from symbiont.inference.tenant import tenant_of
from symbiont.triton.addresses import Addresses
from symbiont.triton.connection import TritonTls
from symbiont.triton.generator_pool import TextPool, TokenPool
from symbiont.triton.generators import TextGenerators, TokenGenerators

_Context = grpc.aio.ServicerContext[Any, Any]


class GenerationServicer(pb_grpc.GenerationServiceServicer):
    """symbiont.inference.v1.GenerationService. No call takes longer than `timeout_s` seconds, whatever it asks for."""

    def __init__(self, generation: Generation, timeout_s: float) -> None:
        self._generation = generation
        self._timeout = timeout_s

    @override
    async def Generate(self, request: pb.GenerateRequest, context: _Context) -> AsyncIterator[pb.GenerateResponse]:
        """Generates text and streams it."""
        asked, tenant = context.time_remaining(), tenant_of(context.invocation_metadata() or ())
        deadline = Deadline(self._timeout if asked is None else min(asked, self._timeout), tenant)
        async with aclosing(self._generation.generate(convert.call_from_proto(request), deadline)) as events:
            async for event in events:
                yield convert.event_to_proto(event)


def generation_service(
    settings: InferenceSettings,
    metrics: GenerationMetrics,
    stopping: Event,
    training: grpc.aio.Channel,
    tokenization: grpc.aio.Channel,
    licenses: Licenses,
    tls: TritonTls | None = None,
    rates: Rates = UNLIMITED,
) -> tuple[Registration, AbstractAsyncContextManager[None]]:
    """Joins the parts; returns the gRPC service, and what closes its connection to Triton in the end."""
    root = settings.host_artifact_root or settings.artifact_root
    own = GeneratorSettings(
        # Triton works in another folder than this process.
        artifact_root=absolute_root(root),
        threads=settings.host_threads,
        device=settings.host_device,
        max_sequences=settings.generation_sequences,
        max_waiting=settings.generation_waiting,
        token_budget=settings.generation_token_budget,
    )
    generators: TokenGenerators | TextGenerators | TokenPool | TextPool
    writer: IdWriter | TextWriter
    addresses, vllm = Addresses.parse(settings.triton_address), settings.generation_vllm_arguments
    spread, watching = settings.spread, settings.watching
    if settings.generation_backend == "vllm":
        generators = text = (
            TextGenerators(settings.triton_address, own, vllm, tls)
            if addresses.single
            else TextPool(addresses, own, vllm, spread, watching, tls)
        )
        writer = TextWriter(text)
    else:
        generators = tokens = (
            TokenGenerators(settings.triton_address, own, tls)
            if addresses.single
            else TokenPool(addresses, own, spread, watching, tls)
        )
        writer = IdWriter(TokenizerClient(tokenization), tokens)
    metrics.open_streams.set_function(lambda: generators.open_streams)
    store = ArtifactStore(settings.artifact_root)
    shelf = GeneratorShelf(BaseRegistryClient(training), store, settings.cached_versions)
    timeout_s = settings.generation_timeout_seconds
    generation = Generation(shelf, writer, Limits(settings.max_text_bytes), metrics, stopping, licenses, rates)
    name = pb.DESCRIPTOR.services_by_name["GenerationService"].full_name
    servicer = GenerationServicer(generation, timeout_s)
    service = Registration(name, servicer, pb_grpc.add_GenerationServiceServicer_to_server)
    return service, _closing(generators, settings.drain_seconds)


@asynccontextmanager
async def _closing(
    generators: TokenGenerators | TextGenerators | TokenPool | TextPool, grace_s: float
) -> AsyncIterator[None]:
    if isinstance(generators, TokenPool | TextPool):
        await generators.start()
    try:
        yield
    finally:
        await generators.close(grace_s)
