"""Runs the tokenization service: `python -m symbiont.tokenization`."""

import os
from concurrent.futures import ThreadPoolExecutor

# Before the library is loaded: a batch keeps to its thread, because other batches have the other cores.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.exporting import exported
from symbiont.common.log import configure_logging
from symbiont.common.loop import run
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle, run_server
from symbiont.common.tracing import Tracing
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.settings import TokenizationSettings
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.work import Work


async def serve(settings: TokenizationSettings, tracing: Tracing) -> None:
    """Serves until SIGTERM or SIGINT."""
    shared = ServiceMetrics("tokenization")
    metrics = TokenizationMetrics(shared.registry)
    library = TokenizerLibrary(ArtifactStore(settings.artifact_root), settings.cached_tokenizers)
    limits = Limits(settings.max_texts, settings.max_batch_bytes, settings.max_streams)
    with ThreadPoolExecutor(settings.encode_threads, "encode") as executor:
        work = Work(executor, settings.encode_threads, settings.max_held_bytes, metrics)
        services = [registration(Catalogue(library, metrics, work), Tokenization(library, limits, metrics, work))]
        await run_server(settings, shared, Lifecycle(), services, tracing=tracing)


def main() -> None:
    """Reads the settings and serves."""
    settings = TokenizationSettings.from_command_line("symbiont-tokenization", "Turns text into token ids.")
    configure_logging(settings.log_level, settings.log_format, "tokenization")
    with exported("tokenization", settings.tracing_endpoint, settings.tracing_sample_ratio) as tracing:
        run(serve(settings, tracing))


if __name__ == "__main__":
    main()
