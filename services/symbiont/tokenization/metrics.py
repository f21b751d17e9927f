"""Every metric that the tokenization service alone has."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from symbiont.common.metrics import SECONDS_BUCKETS, Refusals
from symbiont.tokenization.types import Encoded

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
REASONS = (
    "BATCH_EMPTY",
    "BATCH_TOO_LARGE",
    "TEXT_EMPTY",
    "TEXT_TOO_LONG",
    "MAX_TOKENS",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "INTEGRITY",
    "FAILED_PRECONDITION",
)


class TokenizationMetrics:
    """What was tokenized and what was refused. The one label, `reason`, is one of `REASONS`, or `OTHER`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.texts = Counter("symbiont_tokenization_texts", "Texts encoded.", registry=registry)
        self.tokens = Counter(
            "symbiont_tokenization_tokens", "Tokens given back, special tokens included.", registry=registry
        )
        self.truncated = Counter(
            "symbiont_tokenization_truncated_texts", "Texts that were cut to the maximum.", registry=registry
        )
        self.refusals = Refusals(
            "symbiont_tokenization_refusals", "Tokenize calls that were refused.", REASONS, registry
        )
        self.batch_size = Histogram(
            "symbiont_tokenization_batch_size", "Texts in a call.", registry=registry, buckets=BATCH_BUCKETS
        )
        self.encode_seconds = Histogram(
            "symbiont_tokenization_encode_seconds",
            "Time that a batch spends in the encoder, in seconds.",
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )

    def encoded(self, batch: Encoded, seconds: float) -> None:
        """Counts one batch and the time that its encoding took."""
        self.texts.inc(len(batch.lengths))
        self.tokens.inc(len(batch.ids))
        self.truncated.inc(batch.truncated)
        self.batch_size.observe(len(batch.lengths))
        self.encode_seconds.observe(seconds)
