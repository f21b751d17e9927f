"""Every metric that the tokenization service alone has."""

from dataclasses import dataclass
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from symbiont.common.metrics import SECONDS_BUCKETS, Refusals

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# Tokenizers that get a label of their own, in the order in which they are first used; the rest are "other".
MAX_LABELS = 32
DROPS = ("CANCELLED", "EXPIRED")
REASONS = (
    "BATCH_EMPTY",
    "BATCH_TOO_LARGE",
    "TEXT_TOO_LONG",
    "ANSWER_TOO_LARGE",
    "PAIRS",
    "MAX_TOKENS",
    "TRUNCATION",
    "STRIDE",
    "PADDING",
    "SLOW_TOKENIZER",
    "OUTSIDE_VOCABULARY",
    "STREAM",
    "OVERLOADED",
    "INVALID_ARGUMENT",
    "ALREADY_EXISTS",
    "NOT_FOUND",
    "INTEGRITY",
    "FAILED_PRECONDITION",
    "DEADLINE_EXCEEDED",
)


@dataclass(frozen=True)
class TokenizerCounts:
    """What is counted of one tokenizer, or of all others."""

    texts: Counter
    tokens: Counter
    truncated: Counter
    batch_size: Histogram
    work_seconds: Histogram

    def worked(self, texts: int, tokens: int, truncated: int, seconds: float) -> None:
        """Counts one batch and the time that its work took."""
        self.texts.inc(texts)
        self.tokens.inc(tokens)
        if truncated:
            self.truncated.inc(truncated)
        self.batch_size.observe(texts)
        self.work_seconds.observe(seconds)


class TokenizationMetrics:
    """What was tokenized and what was refused.

    Labels are closed sets: `reason` is one of `REASONS` or `DROPS`, or `OTHER`; `tokenizer` is the beginning of a
    digest, of which there are at most `MAX_LABELS`, or `other`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ["tokenizer"]
        self._texts = Counter("symbiont_tokenization_texts", "Texts encoded.", label, registry=registry)
        self._tokens = Counter(
            "symbiont_tokenization_tokens", "Tokens of rows given back, padding included.", label, registry=registry
        )
        self._truncated = Counter(
            "symbiont_tokenization_truncated_texts", "Texts that lost something.", label, registry=registry
        )
        self._batch_size = Histogram(
            "symbiont_tokenization_batch_size",
            "Texts in a batch, a call's or a stream's.",
            label,
            registry=registry,
            buckets=BATCH_BUCKETS,
        )
        self._work_seconds = Histogram(
            "symbiont_tokenization_encode_seconds",
            "Time that a batch spends being encoded and laid out in rows, in seconds.",
            label,
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.queue_seconds = Histogram(
            "symbiont_tokenization_queue_seconds",
            "Time that a batch waits for a thread, in seconds; one that needs none is not counted.",
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.held_bytes = Gauge(
            "symbiont_tokenization_held_bytes", "Bytes of text that wait or are in work.", registry=registry
        )
        self.streams = Gauge("symbiont_tokenization_streams", "Streams that are open.", registry=registry)
        self.refusals = Refusals("symbiont_tokenization_refusals", "Calls that were refused.", REASONS, registry)
        self._dropped = Counter(
            "symbiont_tokenization_dropped_batches",
            "Batches whose caller had gone or whose deadline had passed.",
            ["reason"],
            registry=registry,
        )
        for reason in DROPS:
            self._dropped.labels(reason)
        self._of: dict[str, TokenizerCounts] = {}
        self._guard = Lock()

    def of(self, digest: str) -> TokenizerCounts:
        """Returns the counts of a tokenizer."""
        found = self._of.get(digest)
        return found or self._label(digest)

    def dropped(self, reason: str) -> None:
        """Counts a batch that nobody waits for any more."""
        self._dropped.labels(reason).inc()

    def _label(self, digest: str) -> TokenizerCounts:
        with self._guard:
            label = digest[:12] if len(self._of) < MAX_LABELS else "other"
            counts = TokenizerCounts(
                self._texts.labels(label),
                self._tokens.labels(label),
                self._truncated.labels(label),
                self._batch_size.labels(label),
                self._work_seconds.labels(label),
            )
            if label != "other":
                self._of[digest] = counts
            return counts
