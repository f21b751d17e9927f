"""For the person on call: is anything wrong, do callers get answers, is there room, what changed."""

from boards.page import FIRING, Page, Section
from boards.panels import (
    BYTES,
    CALLS,
    COUNT,
    SECONDS,
    SHARE,
    Levels,
    Query,
    agreed,
    at_least,
    at_most,
    figure,
    graph,
    or_zero,
    present,
    quantile,
    rate,
    share,
    total,
)

# Who asks whether a service lives is no caller.
CALLED = 'rpc!~"Check|Watch|ServerLive|ServerReady|ModelReady|ServerReflectionInfo"'
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
                "Alerts of the suite that Prometheus holds for true now. Each has a page that says what to do.",
                COUNT,
                Query(or_zero(f"count({FIRING})"), "alerts"),
                at_most(1, 1),
            ),
            figure(
                "Calls that fail",
                "Share of all calls that ended by a fault of the suite: unavailable, too late, or an error inside. "
                "What a caller did wrong does not count.",
                SHARE,
                Query(share(ENDED, OWN_FAULT, among=CALLED), "failed"),
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
                "Calls that ended in a second, by service. A stream counts once for each of its requests, and once "
                "when it ends.",
                CALLS,
                Query(rate(ENDED, "service", CALLED), "{{service}}"),
                stacked=True,
            ),
            graph(
                "Calls that fail, by service",
                "Share of a service's calls that ended by a fault of the suite. Where it stays above the line for an "
                "hour somebody is called, unless all that is wrong is that calls were too late.",
                SHARE,
                Query(share(ENDED, OWN_FAULT, "service", CALLED), "{{service}}"),
                levels=Levels("transparent", [(0.0144, "red")]),
            ),
        ]
    ],
)

ROOM = Section(
    "Is there room?",
    [
        [
            graph(
                "Tokens that wait",
                "Tokens of texts that wait for a host, by priority. A line that only rises: more is asked than "
                "hosts can do.",
                COUNT,
                Query(total("symbiont_inference_queue_tokens", "priority"), "{{priority}}"),
                stacked=True,
            ),
            graph(
                "Refused predictions",
                "Calls that were not answered, by reason. QUEUE_FULL and WAIT_TOO_LONG: more is asked than hosts "
                "can do. UNAVAILABLE: a part is away. The rest are mostly callers' mistakes.",
                CALLS,
                Query(present(rate("symbiont_inference_refusals_total", "reason"), "reason"), "{{reason}}"),
                stacked=True,
            ),
            graph(
                "Memory by part",
                "Memory of each service's process, and of the hosts inside Triton.",
                BYTES,
                Query(
                    'max by (job) (process_resident_memory_bytes{job=~"tokenization|training|inference"})', "{{job}}"
                ),
                Query("sum(symbiont_host_process_bytes)", "hosts"),
            ),
        ]
    ],
)

CHANGED = Section(
    "What changed?",
    [
        [
            graph(
                "Promotions and releases",
                "Aliases that were set in the last 10 minutes, releases that run, and versions that do not answer yet.",
                COUNT,
                Query("sum(increase(symbiont_training_promotions_total[10m]))", "aliases set"),
                Query("max(symbiont_inference_releases)", "releases that run"),
                Query("max(symbiont_inference_versions_waiting)", "versions that do not answer yet"),
            ),
            graph(
                "Training jobs",
                "Jobs that have a worker, and jobs that wait for one.",
                COUNT,
                Query(agreed("symbiont_training_jobs", "state", 'state=~"STARTING|RUNNING|EVALUATING"'), "at work"),
                Query(agreed("symbiont_training_jobs", "state", 'state=~"QUEUED|RECOVERING"'), "waiting"),
            ),
            graph(
                "Since the start of each process",
                "A line that falls to 0 is a process that was started again.",
                SECONDS,
                Query(
                    'min by (job) (time() - process_start_time_seconds{job=~"tokenization|training|inference"})',
                    "{{job}}",
                ),
            ),
        ]
    ],
)

PAGE = Page(
    "overview",
    "Overview",
    "For the person on call: is anything wrong, and where to look.",
    [WRONG, CALLERS, ROOM, CHANGED],
)
