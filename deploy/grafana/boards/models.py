"""What serves, what is tried beside it, and whether the two differ."""

from boards.page import Page, Section, Variable
from boards.panels import (
    CALLS,
    COUNT,
    EVENTS,
    ROWS,
    SHARE,
    Levels,
    Query,
    at_most,
    bars,
    defined,
    figure,
    graph,
    or_zero,
    quantile,
    rate,
    share,
    total,
)

CALLS_TO = "symbiont_inference_release_calls_total"
SHADOWS = "symbiont_inference_shadow_rows_total"
MODEL = 'model=~"$model"'

SHIFTED = Levels("transparent", [(0.25, "red")])


def drift(of: str) -> str:
    """Returns a query for the drift of each version; 0 where too little is known."""
    return or_zero(f'max by (model, version) (symbiont_inference_model_drift{{{MODEL}, of="{of}"}})', "model")


def labels(rows: str) -> str:
    """Returns a query for the share of each label of each version; a 0 where too little is known."""
    found = f'symbiont_inference_model_label_share{{{MODEL}, rows="{rows}"}}'
    return or_zero(f"max by (model, version, label) ({found})", "model")


def unsure(rows: str) -> str:
    """Returns a query for the share of answers of each version that are not sure; 0 where too little is known."""
    below = f'{MODEL}, rows="{rows}", score=~"0.[0-5]"'
    # Each process tells the same of a bin, as far as it has seen it.
    each = f"max by (model, version, score) (symbiont_inference_model_score_share{{{below}}})"
    return or_zero(f"sum by (model, version) ({each})", "model")


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

DRIFT = Section(
    "Do answers move away from those on the rows that judged a model?",
    [
        [
            graph(
                "Drift of labels",
                "How far the labels that a version gives are from those it gave to the rows that judged it "
                "(population stability index). Below 0.1: alike. Above 0.25, the line: look at what is asked. 0 "
                "until 100 rows came.",
                COUNT,
                Query(drift("labels"), "{{model}}/{{version}}"),
                levels=SHIFTED,
            ),
            graph(
                "Drift of scores",
                "The same for how sure the version is. It moves before labels do when texts are of a new kind.",
                COUNT,
                Query(drift("scores"), "{{model}}/{{version}}"),
                levels=SHIFTED,
            ),
            graph(
                "Rows that drift is measured over",
                "The last rows of each model; the fewer, the more of a drift is chance.",
                COUNT,
                Query(
                    or_zero(total("symbiont_inference_model_rows", "model, version", MODEL), "model"),
                    "{{model}}/{{version}}",
                ),
            ),
        ],
        [
            bars(
                "Labels in use",
                "Share of each label among the answers, by its place in the model's list of labels.",
                SHARE,
                Query(labels("used"), "{{model}}/{{version}} label {{label}}"),
                most=1,
            ),
            bars(
                "Labels on the rows that judged it",
                "What the version answered before it served, for comparison.",
                SHARE,
                Query(labels("judged"), "{{model}}/{{version}} label {{label}}"),
                most=1,
            ),
            graph(
                "Answers that are not sure",
                "Share of the answers with a probability below 0.6, in use and on the rows that judged the "
                "version. They part where texts are of a new kind.",
                SHARE,
                Query(unsure("used"), "{{model}}/{{version}} in use"),
                Query(unsure("judged"), "{{model}}/{{version}} when it was judged"),
            ),
        ],
    ],
)

PAGE = Page(
    "models",
    "Models and drift",
    "What serves, what is tried beside it, whether the two differ, and whether answers move away from what was "
    "trained.",
    [NOW, DRIFT, RELEASES],
    [Variable("model", "Model", "symbiont_inference_model_rows", "model")],
)
