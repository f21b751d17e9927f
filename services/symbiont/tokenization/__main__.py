"""Runs the tokenization service: `python -m symbiont.tokenization`."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.log import configure_logging
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle, run_server
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.settings import TokenizationSettings
from symbiont.tokenization.tokenization import Limits, Tokenization


async def serve(settings: TokenizationSettings) -> None:
    """Serves until SIGTERM or SIGINT."""
    metrics = ServiceMetrics("tokenization")
    library = TokenizerLibrary(ArtifactStore(settings.artifact_root), settings.cached_tokenizers)
    limits = Limits(settings.max_texts, settings.max_text_bytes)
    with ThreadPoolExecutor(settings.encode_threads, "encode") as executor:
        tokenization = Tokenization(library, limits, TokenizationMetrics(metrics.registry), executor)
        await run_server(settings, metrics, Lifecycle(), [registration(tokenization)])


def main() -> None:
    """Reads the settings and serves."""
    settings = TokenizationSettings.from_command_line("symbiont-tokenization", "Turns text into token ids.")
    configure_logging(settings.log_level, settings.log_format, "tokenization")
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
