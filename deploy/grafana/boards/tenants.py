"""Who uses the suite, and what that costs."""

from boards.page import Page, Section, Variable
from boards.panels import COUNT, SHARE, TOKENS, Query, bars, figure, graph, rate

TENANT = 'tenant=~"$tenant"'
SENT = "symbiont_inference_tenant_tokens_total"

NOW = Section(
    "Now",
    [
        [
            figure(
                "Tokens computed",
                "Tokens of all tenants that were sent to hosts in a second.",
                TOKENS,
                Query(rate(SENT), "t"),
            ),
            figure(
                "Tenants that wait",
                "Tenants with rows in the queue now.",
                COUNT,
                Query("sum(symbiont_inference_queue_tenants)", "tenants"),
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
                "Tokens sent to hosts in a second, by tenant; those without a label of their own are `other`.",
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
            bars(
                "Largest tenants",
                "Tokens within the time that is shown, of the ten tenants with most.",
                COUNT,
                Query(f"topk(10, sum by (tenant) (increase({SENT}{{{TENANT}}}[$__range])))", "{{tenant}}"),
            ),
        ]
    ],
)

PAGE = Page(
    "tenants",
    "Tenants and cost",
    "Who uses the suite, and what that costs.",
    [NOW, USE],
    [Variable("tenant", "Tenant", SENT, "tenant")],
)
