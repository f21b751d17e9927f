"""The training service: which jobs there are, whether they get on, and what became of them."""

from boards.page import Page, Section
from boards.panels import (
    BYTES,
    COUNT,
    EVENTS,
    SECONDS,
    SHARE,
    TOKENS,
    Query,
    agreed,
    at_most,
    defined,
    figure,
    graph,
    or_zero,
    present,
    quantile,
    rate,
)

JOBS = "symbiont_training_jobs"
AT_WORK, WAITING = 'state=~"STARTING|RUNNING|EVALUATING"', 'state=~"QUEUED|RECOVERING"'
SERVICE = 'service="training"'
AWAITED = "CreateTrainingJob|GetTrainingJob|GetModel|GetModelVersion|PromoteModelVersion"
JOB = "training_job"
DONE = " / ".join(agreed(f"symbiont_training_job_{steps}", JOB, by=JOB) for steps in ("steps", "total_steps"))
PROGRESS = rate("symbiont_training_worker_reports_total", where='kind="Progress"')


def grown(metric: str, by: str = "", span: str = "1h") -> str:
    """Returns a query for the growth of a counter within the last `span`."""
    return f"sum{f' by ({by}) ' if by else ''}(increase({metric}[{span}]))"


NOW = Section(
    "Now",
    [
        [
            figure(
                "Jobs at work",
                "Jobs that have a worker, or are about to.",
                COUNT,
                Query(agreed(JOBS, "state", AT_WORK), "jobs"),
            ),
            figure(
                "Jobs that wait",
                "Jobs that wait for a free worker, or for another attempt.",
                COUNT,
                Query(agreed(JOBS, "state", WAITING), "jobs"),
                at_most(10, 50),
            ),
            figure(
                "Longest wait",
                "How long the job has waited that waits longest for a place: since it was queued, resumed, or lost its "
                "worker. 0 where none does.",
                SECONDS,
                Query("max(symbiont_training_queue_seconds)", "waits"),
                at_most(600, 3600),
            ),
            figure(
                "Jobs that failed",
                "Jobs that the registry holds as failed; `symbiont jobs logs` says why.",
                COUNT,
                Query(agreed(JOBS, "state", 'state="FAILED"'), "jobs"),
            ),
            figure(
                "Workers lost in an hour",
                "Workers that went away before they had ended their job. Their jobs recover from the last checkpoint.",
                COUNT,
                Query(grown("symbiont_training_attempts_lost_total"), "workers"),
                at_most(1, 4),
                decimals=0,
            ),
            figure(
                "Tokens trained on",
                "Tokens in a second, of all jobs that train now by their last reports; 0 where none does.",
                TOKENS,
                Query("max(symbiont_training_tokens_per_second)", "tokens"),
            ),
        ]
    ],
)

JOBS_ROW = Section(
    "Do jobs get on?",
    [
        [
            graph(
                "Jobs by state",
                "Jobs that have not ended, by state.",
                COUNT,
                Query(
                    present(agreed(JOBS, "state", 'state!~"SUCCEEDED|FAILED|CANCELLED"', "state"), "state"), "{{state}}"
                ),
                stacked=True,
            ),
            graph(
                "Jobs that ended",
                "Jobs that the registry holds as ended, by how. The lines rise; a steep FAILED is what to look at.",
                COUNT,
                Query(agreed(JOBS, "state", 'state=~"SUCCEEDED|FAILED|CANCELLED"', "state"), "{{state}}"),
            ),
            graph(
                "Progress reports",
                "How often workers report new steps, and how many workers are connected. A job at work without "
                "progress hangs.",
                COUNT,
                Query(PROGRESS, "reports of progress in a second"),
                Query("sum(symbiont_training_worker_streams)", "workers connected"),
            ),
        ],
        [
            graph(
                "How far each job is",
                "Share of its steps that a job at work has done, by job. A line that stays flat is a job that hangs.",
                SHARE,
                Query(or_zero(DONE, JOB), f"{{{{{JOB}}}}}"),
                most=1,
            ),
            graph(
                "Time that is left",
                "Time that the worker of each job thinks it still needs. 0 where no job is at work.",
                SECONDS,
                Query(or_zero(agreed("symbiont_training_job_eta_seconds", JOB, by=JOB), JOB), f"{{{{{JOB}}}}}"),
            ),
            graph(
                "Time of the attempt",
                "Time since the worker of each job at work was started. 0 where no job is at work.",
                SECONDS,
                Query(or_zero(agreed("symbiont_training_job_attempt_seconds", JOB, by=JOB), JOB), f"{{{{{JOB}}}}}"),
            ),
        ],
        [
            graph(
                "Reports of workers",
                "Reports taken in a second, by kind, and those refused because their attempt is over.",
                EVENTS,
                Query(rate("symbiont_training_worker_reports_total", "kind"), "{{kind}}"),
                Query(rate("symbiont_training_worker_reports_fenced_total"), "refused"),
            ),
            graph(
                "How far plans were off",
                "Real training time against the planned one, of jobs that were planned and succeeded in the last "
                "hour: 25 % is a plan of 60 minutes for a job of 75 or 45.",
                SHARE,
                *(
                    Query(
                        defined(
                            f"histogram_quantile({part}, "
                            f"{grown('symbiont_training_estimate_error_ratio_bucket', 'le')})"
                        ),
                        words,
                    )
                    for part, words in ((0.5, "half are off by less"), (0.9, "9 of 10 are off by less"))
                ),
            ),
            graph(
                "Failures of experiment trackers",
                "What went wrong with TensorBoard, Weights & Biases or MLflow, in the last hour. No job waits for one.",
                COUNT,
                Query(or_zero(grown("symbiont_training_tracker_failures_total")), "failures"),
            ),
        ],
    ],
)

REGISTRY = Section(
    "Registry and data",
    [
        [
            graph(
                "Time of a call, slow ones",
                "99 of 100 calls take no longer, of those methods that everything else waits for.",
                SECONDS,
                Query(quantile(0.99, "symbiont_rpc_seconds", "rpc", f'{SERVICE}, rpc=~"{AWAITED}"'), "{{rpc}}"),
            ),
            graph(
                "Data stored",
                "Bytes of datasets that were uploaded in the last hour.",
                BYTES,
                Query(grown("symbiont_training_dataset_bytes_total"), "uploaded"),
            ),
            graph(
                "Promotions and checkpoints",
                "Aliases that were set, and checkpoints that were removed because nobody needs them, in the last hour.",
                COUNT,
                Query(grown("symbiont_training_promotions_total"), "aliases set"),
                Query(grown("symbiont_training_checkpoints_collected_total"), "checkpoints removed"),
            ),
        ]
    ],
)

PAGE = Page(
    "training",
    "Training",
    "Which jobs there are, whether they get on, and what became of them.",
    [NOW, JOBS_ROW, REGISTRY],
)
