"""The inference service: how much it answers, where the time goes, what waits, what is lost, and why."""

from boards.page import Page, Section, Variable
from boards.panels import (
    BAD,
    BYTES,
    CALLS,
    COUNT,
    EVENTS,
    OK,
    ROWS,
    SECONDS,
    SHARE,
    TEXTS,
    TOKENS,
    Levels,
    Query,
    at_least,
    at_most,
    defined,
    figure,
    graph,
    mean,
    or_zero,
    present,
    quantile,
    rate,
    share,
    spread,
    total,
)

BASE = 'base=~"$base"'
STAGE = "symbiont_inference_stage_seconds"
# Not a search, which only some calls have, nor the whole of infer, whose two parts are there.
STAGES = 'stage=~"resolve|tokenize|queue|compute"'
GENERATED = "symbiont_inference_generated_tokens_total"

NOW = Section(
    "Now",
    [
        [
            figure(
                "Predictions",
                "Texts (rows) that were answered in a second, of Predict and of the Open Inference Protocol.",
                ROWS,
                Query(rate("symbiont_inference_instances_total", where=BASE), "rows"),
            ),
            figure(
                "Slow calls",
                "99 of 100 calls of Predict are answered within this time.",
                SECONDS,
                Query(quantile(0.99, "symbiont_rpc_seconds", where='service="inference", rpc="Predict"'), "Predict"),
                at_most(0.2, 1),
            ),
            figure(
                "Calls refused",
                "Calls that were not answered, for whatever reason: see Refused calls below for which.",
                CALLS,
                Query(rate("symbiont_inference_refusals_total"), "refused"),
            ),
            figure(
                "Hosts missing",
                "Base models that are needed and are not loaded in Triton, or do not answer: their models cannot be "
                "asked. 0 is well.",
                COUNT,
                Query("max(symbiont_inference_hosts_needed - symbiont_inference_hosts_ready)", "hosts"),
                Levels(OK, [(1, BAD)]),
            ),
            figure(
                "Follows the registry",
                "Whether every inference process hears of promotions. One that does not goes on with what it knew.",
                "none",
                Query("min(symbiont_inference_registry_connected)", "registry"),
                at_least(1),
                words={0: "no", 1: "yes"},
            ),
        ]
    ],
)

TIME = Section(
    "Where the time of a call goes",
    [
        [
            graph(
                "Calls and rows",
                "Calls answered, and the texts (rows) in them, by the first digits of the base model's digest.",
                CALLS,
                Query(rate("symbiont_inference_predictions_total", "base", BASE), "calls on {{base}}"),
                Query(rate("symbiont_inference_instances_total", "base", BASE), "rows on {{base}}"),
            ),
            graph(
                "Time by stage, on average",
                "The stages of a call add up to it: finding the version, making tokens, waiting for a turn, computing.",
                SECONDS,
                Query(mean(STAGE, "stage", STAGES), "{{stage}}"),
                stacked=True,
            ),
            graph(
                "Time by stage, slow calls",
                "99 of 100 calls spend no more than this in a stage. These do not add up: each stage has its own 1 %.",
                SECONDS,
                Query(quantile(0.99, STAGE, "stage", STAGES), "{{stage}}"),
            ),
        ]
    ],
)

QUEUE = Section(
    "What waits",
    [
        [
            graph(
                "Tokens that wait",
                "Tokens of rows that wait for a host. Near the limit of the settings, calls are refused at once.",
                COUNT,
                Query(total("symbiont_inference_queue_tokens", "priority"), "{{priority}}"),
                stacked=True,
            ),
            graph(
                "Time in the queue",
                "How long rows wait before they are sent to a host, by priority; batch work steps back for others. And "
                "how long what comes now will, at the host where it waits longest.",
                SECONDS,
                Query(quantile(0.5, "symbiont_inference_wait_seconds", "priority"), "{{priority}}, half wait less"),
                Query(quantile(0.99, "symbiont_inference_wait_seconds", "priority"), "{{priority}}, 99 of 100 less"),
                Query("max(symbiont_inference_queue_wait_seconds)", "what comes now, as estimated"),
            ),
            graph(
                "Speed of the hosts",
                "Tokens that are sent to hosts in a second, and what the hosts can compute, as estimated for "
                "admission. Where the two meet, rows begin to wait.",
                TOKENS,
                Query(rate("symbiont_inference_request_tokens_sum"), "sent"),
                Query("max(symbiont_inference_tokens_per_second)", "can be computed (0: not yet known)"),
            ),
        ],
        [
            graph(
                "Rows in a request to Triton",
                "Calls that wait at the same moment share a request: the more, the better the hardware is used.",
                COUNT,
                *spread("symbiont_inference_request_rows", "have no more"),
            ),
            graph(
                "Fill of a request",
                "What a request to Triton carries, of the rows or tokens that it may. Where it is near 100 %, "
                "hosts are the limit.",
                SHARE,
                *spread("symbiont_inference_request_fill_ratio", "are filled no more"),
            ),
            graph(
                "Time of a request to Triton, on average",
                "In the host's queue, being computed, and the rest, on its way there and back. They add up.",
                SECONDS,
                Query(mean("symbiont_inference_request_seconds", "part"), "{{part}}"),
                stacked=True,
            ),
        ],
        [
            graph(
                "Rows in a call",
                "Texts that callers send together.",
                COUNT,
                *spread("symbiont_inference_batch_size", "have no more"),
            ),
            graph(
                "In flight",
                "Requests that Triton has and has not answered; rows that wait for their bundle to be loaded; "
                "tenants that wait.",
                COUNT,
                Query("sum(symbiont_inference_requests_in_flight)", "requests in Triton"),
                Query("sum(symbiont_inference_parked_rows)", "rows that wait for a bundle"),
                Query("sum(symbiont_inference_queue_tenants)", "tenants that wait"),
            ),
        ],
    ],
)

LOST = Section(
    "What is refused or lost",
    [
        [
            graph(
                "Refused calls",
                "Calls that were not answered. QUEUE_FULL and WAIT_TOO_LONG: too much is asked. UNAVAILABLE: a "
                "part is away. The rest are mostly callers' mistakes.",
                CALLS,
                Query(present(rate("symbiont_inference_refusals_total", "reason"), "reason"), "{{reason}}"),
                stacked=True,
            ),
            graph(
                "Rows too late",
                "Rows whose time ran out before they were computed, by where they were then.",
                ROWS,
                Query(rate("symbiont_inference_expired_rows_total", "stage"), "{{stage}}"),
                stacked=True,
            ),
            graph(
                "Work for nobody",
                "Rows whose caller went away: taken out of the queue in time, or computed in vain. And how often a "
                "host left everything unanswered.",
                ROWS,
                Query(rate("symbiont_inference_cancelled_rows_total"), "taken out in time"),
                Query(rate("symbiont_inference_wasted_rows_total"), "computed in vain"),
                Query(rate("symbiont_inference_stalls_total"), "host fell silent"),
            ),
        ]
    ],
)

BUNDLES = Section(
    "Bundles and hosts",
    [
        [
            graph(
                "Bundles in memory",
                "Customers' bundles that are resident beside each base, and how many there is room for.",
                COUNT,
                Query(total("symbiont_host_bundles", "base", BASE), "{{base}}"),
                Query(total("symbiont_host_bundle_slots", "base", BASE), "{{base}}, room for"),
            ),
            graph(
                "Bundles loaded and evicted",
                "Evictions that go on mean that a host has too few slots for the bundles that are asked for.",
                EVENTS,
                Query(rate("symbiont_host_bundle_loads_total", where=BASE), "loaded"),
                Query(rate("symbiont_host_bundle_evictions_total", where=BASE), "evicted"),
                Query(rate("symbiont_host_bundle_load_failures_total", where=BASE), "failed"),
            ),
        ],
        [
            graph(
                "Time to load a bundle, on average",
                "Rows of a model whose bundle is not in memory wait for so long. 0 where none is loaded.",
                SECONDS,
                Query(
                    defined(
                        f"{rate('symbiont_host_bundle_load_seconds_total', where=BASE)} / "
                        f"{rate('symbiont_host_bundle_loads_total', where=BASE)}"
                    ),
                    "a bundle",
                ),
            ),
            graph(
                "Memory of hosts",
                "Memory of each host's process, and the part of it that bundles take.",
                BYTES,
                Query(total("symbiont_host_process_bytes", "base", BASE), "{{base}} in all"),
                Query(total("symbiont_host_bundle_bytes", "base", BASE), "{{base}} bundles"),
            ),
        ],
    ],
)

LOOKUPS = "symbiont_inference_cache_lookups_total"
CACHE = Section(
    "Response cache",
    [
        [
            graph(
                "Found in the cache",
                "Share of texts and rows that were known already, or were being computed for somebody. 0 where it "
                "is off.",
                SHARE,
                Query(defined(share(LOOKUPS, 'result!="miss"', "kind"), "kind"), "{{kind}}"),
                most=1,
            ),
            graph(
                "Memory of the cache",
                "What the response cache of all processes holds.",
                BYTES,
                Query("sum(symbiont_inference_cache_bytes)", "held"),
            ),
            graph(
                "Leaves the cache",
                "Entries that left it, for want of room or because of their age.",
                EVENTS,
                Query(rate("symbiont_inference_cache_evictions_total", "reason"), "{{reason}}"),
            ),
        ]
    ],
)

GENERATION = Section(
    "Language models",
    [
        [
            graph(
                "Tokens of language models",
                "Tokens generated and tokens of prompts read, in a second.",
                TOKENS,
                Query(or_zero(rate(GENERATED)), "generated"),
                Query(or_zero(rate("symbiont_inference_prompt_tokens_total")), "prompts"),
            ),
            graph(
                "Time to the first token",
                "From a call's arrival to its first token. 0 where nothing is generated.",
                SECONDS,
                *spread("symbiont_inference_first_token_seconds", seldom=True),
            ),
            graph(
                "Generations",
                "Calls of Generate in progress, and how those that ended did.",
                COUNT,
                Query("sum(symbiont_inference_generations_running)", "in progress"),
                Query(rate("symbiont_inference_generations_total", "finish"), "ended: {{finish}}, in a second"),
            ),
        ]
    ],
)

CATALOGUES = Section(
    "Catalogues",
    [
        [
            graph(
                "Queries of catalogues",
                "Texts that were looked up, exactly or by an approximate index.",
                TEXTS,
                Query(rate("symbiont_inference_catalogue_searches_total", "kind"), "{{kind}}"),
            ),
            graph(
                "Time of a search",
                "Time that the queries of a call take in one catalogue. 0 where nothing is searched.",
                SECONDS,
                *spread("symbiont_inference_catalogue_search_seconds", seldom=True),
            ),
            graph(
                "Catalogues in memory",
                "Memory of the catalogues held.",
                BYTES,
                Query("sum(symbiont_inference_catalogue_loaded_bytes)", "held"),
            ),
        ]
    ],
)

PAGE = Page(
    "inference",
    "Inference",
    "The path of a prediction: how much, how fast, what waits, what is lost.",
    [NOW, TIME, QUEUE, LOST, BUNDLES, CACHE, GENERATION, CATALOGUES],
    [Variable("base", "Base model", "symbiont_inference_predictions_total", "base")],
)
