"""Every metric that the inference service alone has."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from symbiont.common.errors import SymbiontError
from symbiont.common.metrics import SECONDS_BUCKETS, Refusals
from symbiont.inference.generation.types import Ended, Reason
from symbiont.inference.releases.trial import RULES
from symbiont.inference.types import ModelVersion, PredictResult

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
STAGES = ("resolve", "tokenize", "infer", "queue", "compute", "search")
REASONS = (
    "BATCH_EMPTY",
    "BATCH_TOO_LARGE",
    "TEXT_EMPTY",
    "TEXT_TOO_LONG",
    "TOP_K",
    "THRESHOLD",
    "INPUT_KIND",
    "FIELDS",
    "CANDIDATES",
    "ANSWER_TOO_LARGE",
    "TASK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "INTEGRITY",
    "SKEW",
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
)
PARTS, WARM_UPS, SHADOW_ROWS = ("baseline", "candidate"), ("answered", "failed"), ("same", "other", "missed")
SHIFT_BUCKETS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1)
# Digits of a digest that a label has.
SHORT = 12


class InferenceMetrics:
    """What was predicted and what was refused.

    Labels are closed sets: `base` is the first 12 digits of a base's digest (there are few bases, and thousands of
    customers' models, which are no label), `stage` one of `STAGES`, `reason` one of `REASONS` or `OTHER`, `part` one of
    `PARTS`, `rule` one of `RULES`, `result` one of the few of its metric.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "symbiont_inference_predictions", "Calls answered, of Predict and ModelInfer.", ["base"], registry=registry
        )
        self.instances = Counter("symbiont_inference_instances", "Instances predicted on.", ["base"], registry=registry)
        self.refusals = Refusals(
            "symbiont_inference_refusals", "Calls not answered, of Predict and ModelInfer.", REASONS, registry
        )
        self.batch_size = Histogram(
            "symbiont_inference_batch_size", "Instances in a call.", registry=registry, buckets=BATCH_BUCKETS
        )
        self.stage_seconds = Histogram(
            "symbiont_inference_stage_seconds",
            "Time that an answered call spent in a stage, in seconds.",
            ["stage"],
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.aliases = Gauge("symbiont_inference_aliases", "Aliases in the routing table.", registry=registry)
        self.hosts_ready = Gauge("symbiont_inference_hosts_ready", "Hosts ready in Triton.", registry=registry)
        self.registry_connected = Gauge(
            "symbiont_inference_registry_connected", "1 while the registry is followed.", registry=registry
        )
        self.versions_waiting = Gauge(
            "symbiont_inference_versions_waiting",
            "Versions that an alias or a release needs and that have not answered a first row.",
            registry=registry,
        )
        self.warm_ups = Counter(
            "symbiont_inference_warm_ups", "First rows that versions were tried with.", ["result"], registry=registry
        )
        self.releases = Gauge("symbiont_inference_releases", "Releases that run.", registry=registry)
        self.release_calls = Counter(
            "symbiont_inference_release_calls",
            "Calls to aliases with a release, by which of the two versions they were for.",
            ["part", "result"],
            registry=registry,
        )
        self.releases_broken = Counter(
            "symbiont_inference_releases_broken",
            "Releases that this process took back, by the rule that was broken.",
            ["rule"],
            registry=registry,
        )
        self.shadow_rows = Counter(
            "symbiont_inference_shadow_rows", "Rows for shadows, by what came of them.", ["result"], registry=registry
        )
        self.shadow_score_shift = Histogram(
            "symbiont_inference_shadow_score_shift",
            "Absolute difference of the best probabilities of a row's two answers.",
            registry=registry,
            buckets=SHIFT_BUCKETS,
        )
        for part in PARTS:
            for result in ("answered", "failed"):
                self.release_calls.labels(part, result)
        for result in WARM_UPS:
            self.warm_ups.labels(result)
        for result in SHADOW_ROWS:
            self.shadow_rows.labels(result)
        for rule in RULES:
            self.releases_broken.labels(rule)
        for stage in STAGES:
            self.stage_seconds.labels(stage)

    def predicted(self, result: PredictResult) -> None:
        """Counts one answered call."""
        self.answered(result.version, len(result.predictions), result.seconds)

    def answered(self, version: ModelVersion, instances: int, seconds: Mapping[str, float]) -> None:
        """Counts one answered call by what answered it."""
        base = version.base_digest[:SHORT]
        self.predictions.labels(base).inc()
        self.instances.labels(base).inc(instances)
        self.batch_size.observe(instances)
        for stage, spent in seconds.items():
            self.stage_seconds.labels(stage).observe(spent)


GENERATION_REASONS = (
    *REASONS,
    "INPUT",
    "MESSAGES",
    "ROLE",
    "SAMPLING",
    "MAX_TOKENS",
    "STOP",
    "NOT_A_GENERATOR",
    "NO_CHAT_TEMPLATE",
    "CHAT_TEMPLATE",
)
SPEED_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class GenerationMetrics:
    """What was generated. Labels are closed sets: `base` as above, `finish` one of `Reason`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tokens = Counter(
            "symbiont_inference_generated_tokens", "Tokens generated for answers.", ["base"], registry=registry
        )
        self.prompt_tokens = Counter(
            "symbiont_inference_prompt_tokens", "Tokens of prompts read.", ["base"], registry=registry
        )
        self.ends = Counter(
            "symbiont_inference_generations",
            "Generations that ended without an error; cancelled: by the caller, or because the service stops.",
            ["finish"],
            registry=registry,
        )
        self.refusals = Refusals(
            "symbiont_inference_generation_refusals",
            "Calls of Generate that ended in an error.",
            GENERATION_REASONS,
            registry,
        )
        self.in_progress = Gauge(
            "symbiont_inference_generations_running", "Calls of Generate in progress.", registry=registry
        )
        self.open_streams = Gauge(
            "symbiont_inference_generation_streams",
            "Generations that run in Triton for this process, those on their way to a stop included.",
            registry=registry,
        )
        self.first_token_seconds = Histogram(
            "symbiont_inference_first_token_seconds",
            "Time from a call's arrival to its first token, in seconds.",
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.speed = Histogram(
            "symbiont_inference_generation_tokens_per_second",
            "Tokens a second of a generation, after its first.",
            registry=registry,
            buckets=SPEED_BUCKETS,
        )
        for reason in Reason:
            self.ends.labels(reason)

    @contextmanager
    def running(self) -> Iterator["GenerationRecord"]:
        """Counts a call as running for as long as the block lasts, and as cancelled when its caller leaves it."""
        record = GenerationRecord(self)
        self.in_progress.inc()
        try:
            yield record
        except SymbiontError:
            record.known = True
            raise
        finally:
            self.in_progress.dec()
            if not record.known:
                self.ends.labels(Reason.CANCELLED).inc()


class GenerationRecord:
    """What became of one generation."""

    def __init__(self, metrics: GenerationMetrics) -> None:
        self.known = False
        self._metrics = metrics

    def end(self, base_digest: str, ended: Ended) -> None:
        """Counts a generation that came to its end."""
        self.known = True
        metrics, base = self._metrics, base_digest[:SHORT]
        metrics.prompt_tokens.labels(base).inc(ended.prompt_tokens)
        metrics.ends.labels(ended.reason).inc()
        if "first_token" in ended.seconds:
            metrics.first_token_seconds.observe(ended.seconds["first_token"])
        if ended.tokens_per_second:
            metrics.speed.observe(ended.tokens_per_second)


class CatalogueMetrics:
    """What catalogues hold and do. Labels are closed sets: `outcome` and `kind` as below."""

    OUTCOMES = ("embedded", "unchanged", "deleted")
    KINDS = ("exact", "approximate")

    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Counter(
            "symbiont_inference_catalogue_entries",
            "Entries of committed changes, by what was done with them.",
            ["outcome"],
            registry=registry,
        )
        self.searches = Counter(
            "symbiont_inference_catalogue_searches", "Queries looked up in catalogues.", ["kind"], registry=registry
        )
        self.search_seconds = Histogram(
            "symbiont_inference_catalogue_search_seconds",
            "Time that the queries of a call took in one catalogue, in seconds.",
            ["kind"],
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.loaded_bytes = Gauge(
            "symbiont_inference_catalogue_loaded_bytes", "Memory of the catalogues held.", registry=registry
        )
        self.loaded_entries = Gauge(
            "symbiont_inference_catalogue_loaded_entries", "Entries of the catalogues held.", registry=registry
        )
        for outcome in self.OUTCOMES:
            self.entries.labels(outcome)
        for kind in self.KINDS:
            self.searches.labels(kind)
            self.search_seconds.labels(kind)

    def changed(self, embedded: int, unchanged: int, deleted: int) -> None:
        """Counts a committed change."""
        for outcome, number in zip(self.OUTCOMES, (embedded, unchanged, deleted), strict=True):
            self.entries.labels(outcome).inc(number)

    def searched(self, queries: int, seconds: float, *, exact: bool) -> None:
        """Counts the queries of one call in one catalogue."""
        kind = self.KINDS[0 if exact else 1]
        self.searches.labels(kind).inc(queries)
        self.search_seconds.labels(kind).observe(seconds)
