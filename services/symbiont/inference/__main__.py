"""Runs the inference service: `python -m symbiont.inference`.

Health: `liveness` says that this process takes calls, whatever its peers do, because a restart would mend nothing
there. The empty name and the names of services that need tokens say that tokenization can be reached, too, and
`models/{model}@{alias}` in addition that the model's host is ready and the bundle that serves has answered a row.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from grpc.aio import Channel
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from symbiont.common.artifacts import ArtifactStore, absolute_root
from symbiont.common.artifacts.signatures import read_keys
from symbiont.common.background import running
from symbiont.common.channel import connect
from symbiont.common.exporting import exported
from symbiont.common.log import configure_logging
from symbiont.common.loop import run
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.reach import Reach
from symbiont.common.server import Lifecycle, Registration, run_server
from symbiont.common.streamed import StreamedRequests
from symbiont.common.tracing import Tracing
from symbiont.engine.settings import HostSettings
from symbiont.inference.bundles import BundleShelf, golden_reader, reader
from symbiont.inference.cache import ResponseCache
from symbiont.inference.catalogues.assembly import catalogue_parts
from symbiont.inference.catalogues.servicer import catalogue_registration
from symbiont.inference.clients import TOKENIZATION, BaseListClient, RegistryClient, TokenizationClient
from symbiont.inference.generation.servicer import generation_service
from symbiont.inference.hosts import HostKeeper
from symbiont.inference.licenses import LicenseMetrics, Licenses
from symbiont.inference.lineage import Lineage
from symbiont.inference.metrics import (
    CacheMetrics,
    CatalogueMetrics,
    GenerationMetrics,
    InferenceMetrics,
    SchedulingMetrics,
    ServerMetrics,
)
from symbiont.inference.oip.answering import OpenInference
from symbiont.inference.oip.servicer import OpenInferenceServicer, open_registration
from symbiont.inference.oip.statistics import Statistics
from symbiont.inference.ports import HostClient
from symbiont.inference.predictor import Limits, Predictor
from symbiont.inference.releases.disagreements import Disagreements
from symbiont.inference.releases.releases import Releases
from symbiont.inference.releases.servicer import release_registration
from symbiont.inference.releases.shadow import Shadows
from symbiont.inference.router import Router
from symbiont.inference.scheduling.coalescing import CoalescingLimits, TokenCoalescer
from symbiont.inference.scheduling.lane import LaneLimits
from symbiont.inference.scheduling.pace import Sizes
from symbiont.inference.scheduling.queue import Weights, class_weights
from symbiont.inference.scheduling.rates import Rate, Rates
from symbiont.inference.scheduling.scheduler import Scheduler
from symbiont.inference.servicer import health_report, registration
from symbiont.inference.settings import InferenceSettings
from symbiont.inference.table import RoutingTable
from symbiont.inference.warming import Warmer
from symbiont.triton.addresses import Addresses
from symbiont.triton.client import HostClient as TritonHostClient
from symbiont.triton.connection import TritonTls
from symbiont.triton.pool import HostPool


def assemble(
    settings: InferenceSettings,
    service_metrics: ServiceMetrics,
    lifecycle: Lifecycle,
    training: Channel,
    tokenization: Channel,
    hosts: HostClient,
    triton_tls: TritonTls | None = None,
) -> tuple[Sequence[Registration], Sequence[AbstractAsyncContextManager[None]]]:
    """Joins the parts; returns the gRPC services and the work that goes on beside its calls."""
    store = ArtifactStore(settings.artifact_root, trust=settings.trust())
    lineage, labels = Lineage(store), (settings.tenant_weights, settings.metrics_tenants)
    licenses = Licenses(BaseListClient(training), LicenseMetrics(service_metrics.registry), lineage=lineage.of)
    metrics, table = InferenceMetrics(service_metrics.registry, licenses.registered), RoutingTable()
    registry, tokenizing = RegistryClient(training), TokenizationClient(tokenization)
    router = Router(registry, table, metrics, settings.cached_versions)
    scheduling = SchedulingMetrics(service_metrics.registry, *labels, licenses.registered)
    rates = Rates({tenant: Rate(rate.calls, rate.tokens) for tenant, rate in settings.tenant_rates.items()})
    scheduler = Scheduler(hosts, _lane_limits(settings, hosts), scheduling, rates=rates)
    tokens = TokenCoalescer(tokenizing, CoalescingLimits(settings.tokenization_requests), scheduling)
    keeper = HostKeeper(scheduler, table, health_report(lifecycle), metrics, settings.host_check_seconds)
    bundles = BundleShelf(reader(store, lineage), settings.cached_versions)
    at_once, warm_up_s = settings.warm_ups_at_once, settings.warm_up_timeout_seconds
    # Not by the scheduler: a first row waits for nobody, and shares no request with those of callers.
    warmer = Warmer(table, bundles, golden_reader(store), tokenizing, hosts, metrics, at_once, warm_up_s)
    disagreements = Disagreements(settings.kept_disagreements)
    shadows = Shadows(table, bundles, disagreements, metrics, settings.default_timeout_seconds)
    cached = CacheMetrics(service_metrics.registry)
    cache = ResponseCache(settings.cache_mib << 20, settings.cache_seconds, cached) if settings.cache_mib else None
    releases = Releases(table, registry, scheduler, shadows, metrics, cache)
    limits = Limits(settings.max_instances, settings.max_text_bytes)
    parts = catalogue_parts(store, settings, CatalogueMetrics(service_metrics.registry))
    predictor = Predictor(
        router, bundles, tokens, scheduler, releases, limits, metrics, parts.matching, licenses, cache
    )
    catalogues = parts.catalogues(predictor)
    reach = Reach(TOKENIZATION, tokenization, partial(lifecycle.health.note_peer, TOKENIZATION))
    works = {
        "tokenization": reach.follow,
        "aliases": router.follow,
        "hosts": keeper.run,
        "warm-up": warmer.run,
        "releases": releases.run,
        "shadows": shadows.run,
        "catalogues": catalogues.sweep,
        "licences": licenses.follow,
    }
    background = [running(name, work) for name, work in works.items()]
    inference = OpenInference(predictor, keeper, limits, metrics, Statistics(settings.cached_versions))
    timeout_s, stopping = settings.default_timeout_seconds, lifecycle.stopping
    stream_calls = settings.max_stream_calls
    native = registration(predictor, service_metrics, stopping, timeout_s, stream_calls)
    streamed = StreamedRequests(service_metrics, "ModelStreamInfer")
    foreign = OpenInferenceServicer(inference, table, keeper, limits, lifecycle, timeout_s, stream_calls, streamed)
    tried = release_registration(releases, disagreements)
    generating = GenerationMetrics(service_metrics.registry, *labels)
    generation, closing = generation_service(
        settings, generating, stopping, training, tokenization, licenses, triton_tls, rates
    )
    kept = catalogue_registration(catalogues, predictor, timeout_s)
    alone = [tried, generation] if settings.generation_backend == "vllm" else [tried]
    lifecycle.health.independent.update(service.name for service in alone)
    return [native, kept, tried, open_registration(foreign), generation], [*background, closing]


async def serve(settings: InferenceSettings, tracing: Tracing) -> None:
    """Serves until SIGTERM or SIGINT."""
    metrics, lifecycle, tls = ServiceMetrics("inference"), Lifecycle(), settings.outgoing
    triton_tls = TritonTls(tls, Addresses.parse(settings.triton_address).name) if tls else None
    async with (
        connect(settings.training_address, tls) as training,
        connect(settings.tokenization_address, tls) as tokenization,
        _hosts(settings, metrics, triton_tls) as hosts,
    ):
        services, background = assemble(settings, metrics, lifecycle, training, tokenization, hosts, triton_tls)
        await run_server(settings, metrics, lifecycle, services, background, tracing)


@asynccontextmanager
async def _hosts(
    settings: InferenceSettings, metrics: ServiceMetrics, tls: TritonTls | None
) -> AsyncIterator[HostClient]:
    addresses, told = Addresses.parse(settings.triton_address), _host_settings(settings)
    client: TritonHostClient | HostPool
    if addresses.single:
        client = TritonHostClient(settings.triton_address, told, tls)
    else:
        servers = ServerMetrics(metrics.registry)
        connected = partial(TritonHostClient, tls=tls)
        pool = client = HostPool(addresses, told, settings.spread, settings.watching, servers.moved, connected)
        servers.watch(lambda: pool.known, lambda: pool.ready)
        await pool.start()
    try:
        yield client
    finally:
        # Closing waits for calls whose callers gave up; a Triton that hangs must not hold up the stop.
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.drain_seconds):
                await client.close()


def _lane_limits(settings: InferenceSettings, hosts: HostClient) -> LaneLimits:
    return LaneLimits(
        in_flight=settings.host_requests,
        batch_rows=settings.request_rows,
        sizes=Sizes(settings.request_seconds, most=settings.request_tokens),
        spare_lanes=settings.spare_lanes,
        queued_tokens=settings.max_queued_tokens,
        bundles=settings.host_bundles,
        servers=hosts.sharing if isinstance(hosts, HostPool) else lambda: 1,
        weights=Weights(settings.tenant_weights, class_weights(settings.batch_share)),
    )


def _host_settings(settings: InferenceSettings) -> HostSettings:
    root = settings.host_artifact_root or settings.artifact_root
    return HostSettings(
        # Triton works in another folder than this process.
        artifact_root=absolute_root(root),
        base_digest="",
        threads=settings.host_threads,
        max_slots=settings.host_bundles,
        device=settings.host_device,
        runtime=settings.host_runtime,
        precision=settings.host_precision,
        trusted_keys=read_keys(settings.trusted_keys) if settings.trusted_keys else "",
        require_signatures=settings.require_signatures,
    )


def main() -> None:
    """Reads the settings and serves."""
    settings = InferenceSettings.from_command_line("symbiont-inference", "Answers with the model that an alias means.")
    # Searches run beside each other in threads of their own; those of the library would wait for each other, spinning:
    # on two busy cores a search in ten thousand entries took 23 ms with two and 1.8 ms with one.
    threadpool_limits(1, user_api="blas")
    configure_logging(settings.log_level, settings.log_format, "inference")
    with exported("inference", settings.tracing_endpoint, settings.tracing_sample_ratio) as tracing:
        run(serve(settings, tracing))


if __name__ == "__main__":
    main()
