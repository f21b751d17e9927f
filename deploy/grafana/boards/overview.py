"""For the person on call: is anything wrong, do callers get answers, is there room, what changed."""

from boards.page import Page, Section
from boards.panels import (
    CALLS,
    COUNT,
    SECONDS,
    SHARE,
    Levels,
    Query,
    at_least,
    at_most,
    figure,
    graph,
    or_zero,
    quantile,
    rate,
    share,
)

# What is a caller's own mistake is no failure of the suite.
OWN_FAULT = 'code=~"INTERNAL|UNAVAILABLE|UNKNOWN|DATA_LOSS|DEADLINE_EXCEEDED"'
ENDED = "symbiont_rpc_seconds_count"
PREDICT = 'service="inference", rpc="Predict"'

WRONG = Section(
    "Is anything wrong?",
    [
        [
            figure(
                "Parts that answer",
                "Whether Prometheus reached each part at its last scrape. Mend first what is down.",
                "none",
                Query('min by (job) (up{job=~"tokenization|training|inference|triton"})', "{{job}}"),
                at_least(1),
                words={0: "down", 1: "up"},
            ),
            figure(
                "Alerts that fire",
                "Alerts that Prometheus holds for true now. Each has a page that says what to do.",
                COUNT,
                Query(or_zero('count(ALERTS{alertstate="firing"})'), "alerts"),
                at_most(1, 1),
            ),
            figure(
                "Calls that fail",
                "Share of all calls that ended by a fault of the suite: unavailable, too late, or an error inside. "
                "What a caller did wrong does not count.",
                SHARE,
                Query(share(ENDED, OWN_FAULT), "failed"),
                at_most(0.001, 0.02),
                decimals=2,
                more="inference",
            ),
            figure(
                "Slow predictions",
                "99 of 100 calls of Predict are answered within this time.",
                SECONDS,
                Query(quantile(0.99, "symbiont_rpc_seconds", where=PREDICT), "Predict"),
                at_most(0.2, 1),
                more="inference",
            ),
        ]
    ],
)

CALLERS = Section(
    "Do callers get answers?",
    [
        [
            graph(
                "Calls",
                "Calls that ended in a second, by service. A stream counts once, when it ends.",
                CALLS,
                Query(rate(ENDED, "service"), "{{service}}"),
                stacked=True,
            ),
            graph(
                "Calls that fail, by service",
                "Share of a service's calls that ended by a fault of the suite. Above the line somebody is called.",
                SHARE,
                Query(share(ENDED, OWN_FAULT, "service"), "{{service}}"),
                levels=Levels("transparent", [(0.02, "red")]),
            ),
        ]
    ],
)

PAGE = Page("overview", "Overview", "For the person on call: is anything wrong, and where to look.", [WRONG, CALLERS])
