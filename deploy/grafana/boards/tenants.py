"""Who uses the suite, and what that costs."""

from boards.page import Page, Section, Variable
from boards.panels import COUNT, ROWS, SECONDS, SHARE, TOKENS, Query, bars, figure, graph, or_zero, rate

TENANT = 'tenant=~"$tenant"'
SENT, ROWS_SENT = "symbiont_inference_tenant_tokens_total", "symbiont_inference_tenant_rows_total"
GENERATED = "symbiont_inference_tenant_generated_tokens_total"
WORKED, COST = "symbiont_training_tenant_worker_seconds_total", "symbiont_training_tenant_cost_total"


BASE_TOKENS, BASE_SECONDS = "symbiont_inference_base_tokens_total", "symbiont_inference_base_compute_seconds_total"
COMPUTED = "symbiont_inference_tenant_compute_seconds_total"
# Every replica of inference says what it knows of a base: one row of each, should they disagree for a moment.
INFO = "topk by (base) (1, max by (base, provider) (symbiont_inference_base_info))"


def by_provider(amounts: str) -> Query:
    """Returns a query for amounts by base as those of whoever provides the base; `(none)` where nobody does."""
    whose = f"{amounts} * on (base) group_left (provider) {INFO} or {amounts} unless on (base) {INFO}"
    return Query(
        f'sum by (provider) (label_replace({whose}, "provider", "(none)", "provider", ""))',
        "{{provider}}",
    )


def grown(metric: str, by: str = "tenant", where: str = TENANT) -> str:
    """Returns a query for the growth of a counter within the time that is shown, with what its series began with.

    That is no increase to Prometheus, and may be all: of who sends one batch in the night.
    """
    chosen = where and f"{{{where}}}"
    counted, created = (f"{metric.removesuffix('_total')}_{end}{chosen}[$__range]" for end in ("total", "created"))
    born = f"min_over_time({counted}) and min_over_time({created}) > time() - $__range_s"
    return f'sum by ({by}) (increase({counted}) or label_replace({born}, "born", "yes", "", ""))'


def trained(metric: str, how: str) -> str:
    """Returns a query for a counter of training by tenant in a moment; every replica counts all of it."""
    return f"max by (tenant) ({how}({metric}{{{TENANT}}}[$__rate_interval]))"


def trained_in_all(metric: str) -> str:
    """Returns a query for its growth within the time that is shown, which replicas that were replaced have parts of."""
    return f"sum_over_time({trained(metric, 'increase')}[$__range:$__rate_interval])"


def largest(amounts: str) -> Query:
    """Returns a query for the ten tenants with most within the time that is shown."""
    return Query(or_zero(f"topk(10, {amounts} > 0)", "tenant"), "{{tenant}}")


NOW = Section(
    "Now",
    [
        [
            figure(
                "Tokens computed",
                "Tokens of texts that were sent to hosts in a second.",
                TOKENS,
                Query(rate(SENT, where=TENANT), "tokens"),
            ),
            figure(
                "Tokens generated",
                "Tokens of answers of language models, in a second.",
                TOKENS,
                Query(or_zero(rate(GENERATED, where=TENANT)), "tokens"),
            ),
            figure(
                "Tenants that wait",
                "Tenants with rows in the queue now.",
                COUNT,
                Query("sum(symbiont_inference_queue_tenants)", "tenants"),
            ),
            figure(
                "Training time",
                "Time that workers were busy, within the time that is shown.",
                SECONDS,
                Query(or_zero(f"sum({trained_in_all(WORKED)})"), "time"),
            ),
            figure(
                "Cost of training",
                "Cost of that, in the currency of the training service's price. 0 where no price is set.",
                COUNT,
                Query(or_zero(f"sum({trained_in_all(COST)})"), "cost"),
                decimals=2,
            ),
        ]
    ],
)

USE = Section(
    "Who uses the hosts",
    [
        [
            graph(
                "Tokens by tenant",
                "Tokens sent to hosts in a second. The largest tenants have a line each, the rest together is `other`.",
                TOKENS,
                Query(rate(SENT, "tenant", TENANT), "{{tenant}}"),
                stacked=True,
            ),
            graph(
                "Share of the hosts",
                "Each tenant's part of all tokens. When there is not enough for all, the parts go by the tenants' "
                "weights.",
                SHARE,
                Query(f"{rate(SENT, 'tenant', TENANT)} / on () group_left () {rate(SENT)}", "{{tenant}}"),
                most=1,
            ),
            graph(
                "Rows by tenant",
                "Rows (texts, or windows of long ones) sent to hosts in a second.",
                ROWS,
                Query(rate(ROWS_SENT, "tenant", TENANT), "{{tenant}}"),
                stacked=True,
            ),
        ],
        [
            bars(
                "Largest tenants by tokens",
                "Tokens sent to hosts within the time that is shown, of the ten tenants with most.",
                COUNT,
                largest(grown(SENT)),
            ),
            bars(
                "Largest tenants by tokens generated",
                "Tokens that language models generated within the time that is shown. Who names no tenant is "
                "counted as the base.",
                COUNT,
                largest(grown(GENERATED)),
            ),
        ],
    ],
)

PROVIDERS = Section(
    "What the hosts computed, and whose models",
    [
        [
            bars(
                "Largest tenants by computing",
                "Time that hosts computed within the time that is shown, of the ten tenants with most; of a batch, "
                "the part of its tokens.",
                SECONDS,
                largest(grown(COMPUTED)),
            ),
            graph(
                "Tokens by provider",
                "Tokens sent to hosts in a second, by who provides the base model. Of a model that was trained in full "
                "it is the base that it was trained on.",
                TOKENS,
                by_provider(rate(BASE_TOKENS, "base")),
                stacked=True,
            ),
            bars(
                "Computing by provider",
                "Time that hosts computed within the time that is shown, by who provides the base model.",
                SECONDS,
                by_provider(grown(BASE_SECONDS, "base", "")),
            ),
        ]
    ],
)

TRAINING = Section(
    "Who trains, and what that costs",
    [
        [
            graph(
                "Workers by tenant",
                "Workers that were busy, on average, by the tenant of their job.",
                COUNT,
                Query(or_zero(trained(WORKED, "rate"), "tenant"), "{{tenant}}"),
                stacked=True,
            ),
            bars(
                "Largest tenants by training time",
                "Time that workers were busy within the time that is shown, of the ten tenants with most.",
                SECONDS,
                largest(trained_in_all(WORKED)),
            ),
            bars(
                "Largest tenants by cost of training",
                "In the currency of the training service's price, within the time that is shown.",
                COUNT,
                largest(trained_in_all(COST)),
            ),
        ]
    ],
)

PAGE = Page(
    "tenants",
    "Tenants and cost",
    "Who uses the suite, and what that costs.",
    [NOW, USE, PROVIDERS, TRAINING],
    [Variable("tenant", "Tenant", SENT, "tenant")],
)
