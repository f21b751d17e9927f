"""Every metric that the inference service alone has."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from symbiont.common.errors import SymbiontError
from symbiont.common.metrics import SECONDS_BUCKETS, Refusals
from symbiont.common.top import TopCounters
from symbiont.engine.row import Times
from symbiont.inference.drift import Drift
from symbiont.inference.generation.types import Ended, Reason
from symbiont.inference.releases.trial import RULES
from symbiont.inference.types import ModelVersion, PredictResult, Priority

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
TOKEN_BUCKETS = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
# A quarter apart, so that "twice as long" can be told: from five milliseconds to ten seconds.
RELEASE_BUCKETS = tuple(float(f"{0.005 * 1.25**step:.3g}") for step in range(36))
# Where rows may be when their time runs out before they are computed.
EXPIRY_STAGES = ("admission", "tokenization", "queue", "host")
# Of those without a weight in the settings.
MOST_TENANTS = 50
REQUEST_PARTS = ("queue", "compute", "way")
FILL_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2)
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
    "QUEUE_FULL",
    "WAIT_TOO_LONG",
    "DEADLINE_EXCEEDED",
)
PARTS, SHADOW_ROWS = ("baseline", "candidate"), ("same", "other", "missed")
# Away: what a first row needs is not there or has too much to do, which says nothing of the version.
WARM_UPS = ("answered", "failed", "away")
SHIFT_BUCKETS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1)
# Digits of a digest that a label has.
SHORT = 12


def _itself(base_digest: str) -> str:
    return base_digest


class InferenceMetrics:
    """What was predicted and what was refused.

    Labels are closed sets: `base` is the first 12 digits of a base's digest (there are few bases, and thousands of
    customers' models, which are no label), `stage` one of `STAGES`, `reason` one of `REASONS` or `OTHER`, `part` one of
    `PARTS`, `rule` one of `RULES`, `result` one of the few of its metric.

    Args:
        registered: the base that one is counted as; see `Licenses.registered`.
    """

    def __init__(self, registry: CollectorRegistry, registered: Callable[[str], str] = _itself) -> None:
        self._registered = registered
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
        self.hosts_needed = Gauge(
            "symbiont_inference_hosts_needed", "Hosts that an alias or a release needs.", registry=registry
        )
        self.hosts_ready = Gauge(
            "symbiont_inference_hosts_ready",
            "Of the hosts needed, those that are loaded in Triton and answer.",
            registry=registry,
        )
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
        self.release_seconds = Histogram(
            "symbiont_inference_release_seconds",
            "Time that the rows of a call to an alias with a release took, waiting included, in seconds.",
            ["part"],
            registry=registry,
            buckets=RELEASE_BUCKETS,
        )
        self.shadow_score_shift = Histogram(
            "symbiont_inference_shadow_score_shift",
            "Absolute difference of the best probabilities of a row's two answers.",
            registry=registry,
            buckets=SHIFT_BUCKETS,
        )
        self.drift = Drift(registry)
        for part in PARTS:
            self.release_seconds.labels(part)
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
        base = self._registered(version.base_digest)[:SHORT]
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
    """What was generated.

    Labels are closed sets: `base` as above, `finish` one of `Reason`, `tenant` one of those that have a weight in the
    settings, one of the `most_tenants` of the others that have most generated, or `other`; who names no tenant is
    counted as the base.
    """

    def __init__(
        self, registry: CollectorRegistry, tenants: Collection[str] = (), most_tenants: int = MOST_TENANTS
    ) -> None:
        self._tokens = Counter(
            "symbiont_inference_generated_tokens", "Tokens generated for answers.", ["base"], registry=registry
        )
        self._usage = TopCounters(
            most_tenants,
            [
                Counter(
                    "symbiont_inference_tenant_generated_tokens",
                    "Tokens generated for answers.",
                    ["tenant"],
                    registry=registry,
                )
            ],
            always=tenants,
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

    def generated(self, base_digest: str, tenant: str, tokens: int) -> None:
        """Counts tokens of an answer."""
        base = base_digest[:SHORT]
        self._tokens.labels(base).inc(tokens)
        self._usage.add(tenant or base, tokens)

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


@dataclass(frozen=True)
class QueueFigures:
    """What one host's lane holds: waiting by priority, waiting for a bundle, tenants that wait, requests in flight."""

    tokens: Mapping[Priority, int]
    rows: Mapping[Priority, int]
    parked_rows: int
    tenants: int
    in_flight: int
    tokens_per_s: float

    @property
    def wait_s(self) -> float:
        """How long what comes now waits, in seconds; 0 while the host's pace is not known."""
        return sum(self.tokens.values()) / self.tokens_per_s if self.tokens_per_s else 0.0


class SchedulingMetrics:
    """What waits, what is sent, and what is dropped before work is done for it.

    Labels are closed sets: `priority`, `stage` one of `EXPIRY_STAGES`, `part` one of `REQUEST_PARTS`, and `tenant` one
    of those that the settings give a weight, of the `most_tenants` that use most beside them, or `other`.

    Args:
        registered: see `InferenceMetrics`.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        tenants: Collection[str] = (),
        most_tenants: int = MOST_TENANTS,
        registered: Callable[[str], str] = _itself,
    ) -> None:
        self._registry = registry
        self._registered = registered
        self._wait = Histogram(
            "symbiont_inference_wait_seconds",
            "Time that rows waited here before they were sent to the host, in seconds.",
            ["priority"],
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self._rows = Histogram(
            "symbiont_inference_request_rows", "Rows in a request to Triton.", registry=registry, buckets=BATCH_BUCKETS
        )
        self._tokens = Histogram(
            "symbiont_inference_request_tokens",
            "Tokens in a request to Triton, without padding.",
            registry=registry,
            buckets=TOKEN_BUCKETS,
        )
        self._expired = Counter(
            "symbiont_inference_expired_rows",
            "Rows (at admission about so many) whose time ran out before they were computed, by where they were.",
            ["stage"],
            registry=registry,
        )
        self._cancelled = Counter(
            "symbiont_inference_cancelled_rows",
            "Rows that left the queue because their caller had gone.",
            registry=registry,
        )
        self._wasted = Counter(
            "symbiont_inference_wasted_rows", "Rows that were computed for callers that had gone.", registry=registry
        )
        self._stalls = Counter(
            "symbiont_inference_stalls",
            "Times that a host left all its requests unanswered, though the last had time; each further one that tries "
            "it counts again.",
            registry=registry,
        )
        self._request_seconds = Histogram(
            "symbiont_inference_request_seconds",
            "Time of a request to Triton, in seconds: in the host's queue, being computed, and the rest, on its way.",
            ["part"],
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self._fill = Histogram(
            "symbiont_inference_request_fill_ratio",
            "What a request to Triton carried, over what it should carry at most; the larger of rows and tokens.",
            registry=registry,
            buckets=FILL_BUCKETS,
        )
        tenant = ["tenant"]
        self._usage = TopCounters(
            most_tenants,
            [
                Counter("symbiont_inference_tenant_tokens", "Tokens sent to hosts.", tenant, registry=registry),
                Counter("symbiont_inference_tenant_rows", "Rows sent to hosts.", tenant, registry=registry),
                Counter(
                    "symbiont_inference_tenant_compute_seconds",
                    "Time that hosts computed, by the tokens of each.",
                    tenant,
                    registry=registry,
                ),
            ],
            always=tenants,
        )
        base = ["base"]
        self._base_tokens = Counter("symbiont_inference_base_tokens", "Tokens sent to hosts.", base, registry=registry)
        self._base_seconds = Counter(
            "symbiont_inference_base_compute_seconds", "Time that hosts computed.", base, registry=registry
        )
        self._token_calls = Histogram(
            "symbiont_inference_tokenization_calls",
            "Calls that shared one call of the tokenization service.",
            registry=registry,
            buckets=BATCH_BUCKETS,
        )
        # Held, because looking them up costs more than counting.
        self._wait_of = {priority: self._wait.labels(priority.name.lower()) for priority in Priority}
        self._seconds_of = [self._request_seconds.labels(part) for part in REQUEST_PARTS]
        for stage in EXPIRY_STAGES:
            self._expired.labels(stage)

    def watch(self, lanes: Callable[[], Sequence[QueueFigures]]) -> None:
        """Has what waits now read whenever it is asked for; called once."""

        def gauge(name: str, documentation: str, read: Callable[[QueueFigures], float]) -> None:
            made = Gauge(f"symbiont_inference_{name}", documentation, registry=self._registry)
            made.set_function(lambda: sum(read(figures) for figures in lanes()))

        def by_priority(name: str, documentation: str, read: Callable[[QueueFigures, Priority], float]) -> None:
            made = Gauge(f"symbiont_inference_{name}", documentation, ["priority"], registry=self._registry)
            for priority in Priority:
                total = partial(_total, lanes, priority, read)
                made.labels(priority.name.lower()).set_function(total)

        by_priority("queue_tokens", "Tokens that wait.", lambda figures, p: figures.tokens[p])
        by_priority("queue_rows", "Rows that wait.", lambda figures, p: figures.rows[p])
        gauge("parked_rows", "Rows that wait for their bundle to be loaded.", lambda figures: figures.parked_rows)
        gauge("queue_tenants", "Tenants that wait.", lambda figures: figures.tenants)
        gauge("requests_in_flight", "Requests that Triton has and has not answered.", lambda figures: figures.in_flight)
        gauge(
            "tokens_per_second",
            "Tokens that hosts compute in a second when there is enough to do, as estimated for admission; 0 until "
            "more has waited than one request could take, for a lighter load says only what they do at least.",
            lambda figures: figures.tokens_per_s,
        )
        wait = Gauge(
            "symbiont_inference_queue_wait_seconds",
            "Time that what comes now waits, in seconds, at the host where it waits longest; of hosts whose pace is "
            "known.",
            registry=self._registry,
        )
        # Not of the sums: a host that has nothing to do would hide one that is full.
        wait.set_function(lambda: max((figures.wait_s for figures in lanes()), default=0.0))

    def request(self, rows: int, tokens: int, fill: float) -> None:
        """Counts a request to Triton; `fill` is over what it should carry at most."""
        self._rows.observe(rows)
        self._tokens.observe(tokens)
        self._fill.observe(fill)

    def answered(self, base_digest: str, tokens_of: Mapping[str, int], times: Times, total_s: float) -> None:
        """Counts a request that came back, by what the host says of it and what it took from here.

        Args:
            tokens_of: tokens in it by tenant.
        """
        base, tokens = self._registered(base_digest)[:SHORT], sum(tokens_of.values())
        self._base_tokens.labels(base).inc(tokens)
        self._base_seconds.labels(base).inc(times.own)
        for tenant, part in tokens_of.items():
            self._usage.add(tenant, 0, 0, times.own * part / max(tokens, 1))
        parts = times.queued, times.computed, max(total_s - times.in_host, 0.0)
        for histogram, seconds in zip(self._seconds_of, parts, strict=True):
            histogram.observe(seconds)

    def sent(self, tenant: str, priority: Priority, rows: int, tokens: int, waited_s: float) -> None:
        """Counts rows of one call in a request."""
        self._wait_of[priority].observe(waited_s)
        self._usage.add(tenant, tokens, rows, 0)

    def expired(self, stage: str, rows: int) -> None:
        """Counts rows that ran out of time before they were computed."""
        if rows:
            self._expired.labels(stage).inc(rows)

    def cancelled(self, rows: int) -> None:
        """Counts rows that left the queue with their caller."""
        self._cancelled.inc(rows)

    def wasted(self, rows: int) -> None:
        """Counts rows that were computed for nobody."""
        if rows:
            self._wasted.inc(rows)

    def stalls(self) -> None:
        """Counts a host that fell silent."""
        self._stalls.inc()

    def tokenized(self, calls: int) -> None:
        """Counts a call of the tokenization service, and how many calls it served."""
        self._token_calls.observe(calls)


def _total(
    lanes: Callable[[], Sequence[QueueFigures]], priority: Priority, read: Callable[[QueueFigures, Priority], float]
) -> float:
    return sum(read(figures, priority) for figures in lanes())


class CacheMetrics:
    """What the response cache gave and holds.

    Labels are closed sets: `kind` is `texts` (their tokens) or `rows` (their values); `result` is `hit`, `miss` or
    `joined` (somebody computed it already and was waited for); `reason` is `room` or `age`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lookups = Counter(
            "symbiont_inference_cache_lookups",
            "Texts and rows that were looked for in the response cache.",
            ["kind", "result"],
            registry=registry,
        )
        self._evictions = Counter(
            "symbiont_inference_cache_evictions",
            "Entries that left the response cache, by why.",
            ["reason"],
            registry=registry,
        )
        self._bytes = Gauge("symbiont_inference_cache_bytes", "Bytes that the response cache holds.", registry=registry)
        self._entries = Gauge(
            "symbiont_inference_cache_entries", "Entries that the response cache holds.", registry=registry
        )
        for kind in ("texts", "rows"):
            for result in ("hit", "miss", "joined"):
                self._lookups.labels(kind, result)
        for reason in ("room", "age"):
            self._evictions.labels(reason)

    def looked_up(self, kind: str, *, hits: int, misses: int, joined: int = 0) -> None:
        """Counts what one call looked for."""
        for result, count in (("hit", hits), ("miss", misses), ("joined", joined)):
            if count:
                self._lookups.labels(kind, result).inc(count)

    def stored(self, entries: int, size: int) -> None:
        """Notes how many entries there are now, and their bytes."""
        self._entries.set(entries)
        self._bytes.set(size)

    def dropped(self, reason: str) -> None:
        """Counts an entry that went, for want of `room` or because of its `age`."""
        self._evictions.labels(reason).inc()


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


class ServerMetrics:
    """Of several Triton servers, how many there are and how many work; there where more than one may be named."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._known = Gauge(
            "symbiont_inference_triton_servers", "Triton servers that are named now.", registry=registry
        )
        self._ready = Gauge(
            "symbiont_inference_triton_servers_ready",
            "Triton servers that are ready and have the hosts that were asked for.",
            registry=registry,
        )
        self._moved = Counter(
            "symbiont_inference_moved_rows",
            "Rows answered by another Triton server than the one asked first, which failed.",
            registry=registry,
        )

    def watch(self, known: Callable[[], int], ready: Callable[[], int]) -> None:
        """Asks for both numbers whenever the metrics are read."""
        self._known.set_function(known)
        self._ready.set_function(ready)

    def moved(self, rows: int) -> None:
        """Counts rows."""
        self._moved.inc(rows)
