"""Triton by its own figures: requests, their time, failures, memory; what hosts count is under Inference."""

from boards.page import Page, Section, Variable
from boards.panels import (
    BYTES,
    COUNT,
    MICROSECONDS,
    REQUESTS,
    SHARE,
    Levels,
    Query,
    at_least,
    at_most,
    defined,
    figure,
    graph,
    or_zero,
    present,
    rate,
    total,
)

MODEL = 'model=~"$model"'
DONE = "nv_inference_request_success"
FAILED = "nv_inference_request_failure"
STEPS = {
    "waits": "nv_inference_queue_duration_us",
    "input": "nv_inference_compute_input_duration_us",
    "computes": "nv_inference_compute_infer_duration_us",
    "output": "nv_inference_compute_output_duration_us",
}


def per_request(metric: str, by: str = "") -> str:
    """Returns a query for a duration of Triton's, for each request that succeeded; 0 where there is none."""
    return defined(f"{rate(metric, by, MODEL)} / {rate(DONE, by, MODEL)}", by)


NOW = Section(
    "Now",
    [
        [
            figure(
                "Triton answers",
                "Whether Prometheus reached Triton at its last scrape.",
                "none",
                Query('min(up{job="triton"})', "Triton"),
                at_least(1),
                words={0: "down", 1: "up"},
            ),
            figure(
                "Requests",
                "Requests that Triton answered in a second. One carries the rows of several calls.",
                REQUESTS,
                Query(or_zero(rate(DONE, where=MODEL)), "requests"),
            ),
            figure(
                "Requests that fail",
                "Requests that Triton refused or that failed in the engine, in a second.",
                REQUESTS,
                Query(or_zero(rate(FAILED, where=MODEL)), "failed"),
                at_most(0.01, 0.1),
            ),
            figure(
                "Requests that wait",
                "Requests that Triton has taken and not yet given to a model.",
                COUNT,
                Query(or_zero(total("nv_inference_pending_request_count", where=MODEL)), "waiting"),
                at_most(8, 32),
            ),
        ]
    ],
)

FARE = Section(
    "How requests fare",
    [
        [
            graph(
                "Requests by model",
                "Requests that Triton answered. A model is a base: its host carries the bundles of all customers.",
                REQUESTS,
                Query(or_zero(rate(DONE, "model", MODEL), "model"), "{{model}}"),
                stacked=True,
            ),
            graph(
                "Time of a request by step, on average",
                "The steps of a request inside Triton, which add up: waiting, reading the input, computing, writing.",
                MICROSECONDS,
                *(Query(per_request(metric), name) for name, metric in STEPS.items()),
                stacked=True,
            ),
        ],
        [
            graph(
                "Time of a request by model, on average",
                "The whole time of a request inside Triton.",
                MICROSECONDS,
                Query(per_request("nv_inference_request_duration_us", "model"), "{{model}}"),
            ),
            graph(
                "Requests that fail, by model",
                "Requests that Triton refused or that failed in the engine. A stream that its caller leaves "
                "counts, too.",
                REQUESTS,
                Query(present(rate(FAILED, "model, reason", MODEL), "model"), "{{model}} {{reason}}"),
            ),
        ],
    ],
)

FULL = Levels("transparent", [(0.9, "red")])
MACHINE = Section(
    "The machine",
    [
        [
            graph(
                "CPU",
                "Share of the machine's cores that are busy, with whatever.",
                SHARE,
                Query("max(nv_cpu_utilization)", "busy"),
                levels=FULL,
                most=1,
            ),
            graph(
                "Memory",
                "The machine's memory, and what of it is in use.",
                BYTES,
                Query("max(nv_cpu_memory_used_bytes)", "used"),
                Query("max(nv_cpu_memory_total_bytes)", "in all"),
            ),
        ],
        [
            graph(
                "GPU",
                "Share of time that each GPU is busy. A machine without one shows 0.",
                SHARE,
                Query(or_zero("max by (gpu_uuid) (nv_gpu_utilization)", "gpu_uuid", "no GPU"), "{{gpu_uuid}}"),
                most=1,
            ),
            graph(
                "Memory of GPUs",
                "Share of each GPU's memory that is in use. A machine without a GPU shows 0.",
                SHARE,
                Query(
                    or_zero(
                        "max by (gpu_uuid) (nv_gpu_memory_used_bytes) / max by (gpu_uuid) (nv_gpu_memory_total_bytes)",
                        "gpu_uuid",
                        "no GPU",
                    ),
                    "{{gpu_uuid}}",
                ),
                levels=FULL,
                most=1,
            ),
        ],
    ],
)

PAGE = Page(
    "triton",
    "Triton",
    "What Triton itself counts: requests, their time, failures, and the machine.",
    [NOW, FARE, MACHINE],
    [Variable("model", "Triton model", "nv_inference_request_success", "model")],
)
