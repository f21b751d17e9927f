"""BentoML: an HTTP service with adaptive batching, as its documents show; `bentoml serve` runs it."""

import os
import sys

import bentoml
from classifier import MAX_BATCH, Classifier


@bentoml.service(workers=1, traffic={"timeout": 60})
class Service:
    def __init__(self) -> None:
        self.classifier = Classifier()

    # What cannot be answered within max_latency_ms is refused: here nothing is.
    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=30_000)
    def classify(self, texts: list[str]) -> list[str]:
        return self.classifier(texts)


if __name__ == "__main__":
    home = {"BENTOML_HOME": os.environ["BENCH_WORK"], "BENTOML_DO_NOT_TRACK": "True"}
    command = ["bentoml", "serve", "with_bentoml:Service", "--host", "127.0.0.1", "--port", os.environ["BENCH_PORT"]]
    os.execve(sys.executable, [sys.executable, "-m", *command], os.environ | home)
