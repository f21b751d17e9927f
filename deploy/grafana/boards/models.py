"""What serves, what is tried beside it, and whether the two differ."""

from boards.page import Page, Section
from boards.panels import (
    CALLS,
    COUNT,
    EVENTS,
    ROWS,
    SHARE,
    Query,
    at_most,
    defined,
    figure,
    graph,
    quantile,
    rate,
    share,
)

CALLS_TO = "symbiont_inference_release_calls_total"
SHADOWS = "symbiont_inference_shadow_rows_total"

NOW = Section(
    "Now",
    [
        [
            figure(
                "Aliases",
                "Names such as models/mood@production that can be asked for.",
                COUNT,
                Query("max(symbiont_inference_aliases)", "aliases"),
            ),
            figure(
                "Versions that wait",
                "Versions that an alias or a release needs and that have not yet answered a first row. Above 0 for "
                "minutes: a bundle cannot be loaded.",
                COUNT,
                Query("max(symbiont_inference_versions_waiting)", "versions"),
                at_most(1, 5),
            ),
            figure(
                "Releases that run",
                "Versions that are tried on a part of the calls, or in the shadow of what serves.",
                COUNT,
                Query("max(symbiont_inference_releases)", "releases"),
            ),
            figure(
                "Taken back",
                "Releases that were taken back in the last day because the tried version was worse.",
                COUNT,
                Query("sum(increase(symbiont_inference_releases_broken_total[1d]))", "releases"),
                at_most(1, 5),
                decimals=0,
            ),
            figure(
                "Promotions",
                "Aliases that were set in the last day.",
                COUNT,
                Query("sum(increase(symbiont_training_promotions_total[1d]))", "promotions"),
                decimals=0,
            ),
        ]
    ],
)

RELEASES = Section(
    "Is the version that is tried as good as the one that serves?",
    [
        [
            graph(
                "Calls to either version",
                "Calls of aliases with a release: baseline is the version that serves, candidate the one that is "
                "tried.",
                CALLS,
                Query(rate(CALLS_TO, "part"), "{{part}}"),
                stacked=True,
            ),
            graph(
                "Calls that fail, by version",
                "Share of a version's calls that failed. The candidate's line should not be above the baseline's.",
                SHARE,
                Query(defined(share(CALLS_TO, 'result="failed"', "part"), "part"), "{{part}}"),
            ),
            graph(
                "Releases taken back, by rule",
                "Releases that were taken back in the last hour, by the rule that the candidate broke.",
                COUNT,
                Query("sum by (rule) (increase(symbiont_inference_releases_broken_total[1h]))", "{{rule}}"),
            ),
        ],
        [
            graph(
                "Rows for shadows",
                "Rows that the candidate answered beside the baseline: with the same label, with another one, or "
                "not at all because there was no room.",
                ROWS,
                Query(rate(SHADOWS, "result"), "{{result}}"),
                stacked=True,
            ),
            graph(
                "Labels that differ",
                "Share of the shadow's rows for which the candidate gives another label.",
                SHARE,
                Query(defined(share(SHADOWS, 'result="other"', among='result!="missed"')), "another label"),
            ),
            graph(
                "How far scores differ",
                "Difference of the best probabilities that the two versions give to the same row.",
                SHARE,
                *(
                    Query(defined(quantile(part, "symbiont_inference_shadow_score_shift")), words)
                    for part, words in ((0.5, "half differ by less"), (0.95, "95 of 100 differ by less"))
                ),
            ),
        ],
        [
            graph(
                "First rows of new versions",
                "A version answers a first row before it serves. One that fails never gets to serve.",
                EVENTS,
                Query(rate("symbiont_inference_warm_ups_total", "result"), "{{result}}"),
            ),
            graph(
                "Releases begun and ended",
                "Calls in the last hour that began or ended a release, by the state that it was then in.",
                COUNT,
                Query("sum by (state) (increase(symbiont_training_release_calls_total[1h]))", "{{state}}"),
            ),
        ],
    ],
)

PAGE = Page(
    "models",
    "Models and drift",
    "What serves, what is tried beside it, whether the two differ, and whether answers move away from what was "
    "trained.",
    [NOW, RELEASES],
)
