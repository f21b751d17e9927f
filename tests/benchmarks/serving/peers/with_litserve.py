"""LitServe: its own batching over HTTP, one worker, and the queue that its documents recommend for load."""

import itertools
import os
from typing import Any

import litserve
from classifier import BATCH_WAIT_S, MAX_BATCH, Classifier
from fastapi import Request


class Api(litserve.LitAPI):
    def setup(self, device: Any) -> None:
        self.classifier = Classifier()

    def decode_request(self, request: Request, **_: Any) -> list[str]:
        return request["texts"]

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        return inputs

    def predict(self, calls: list[list[str]], **_: Any) -> list[list[str]]:
        labels = iter(self.classifier(list(itertools.chain(*calls))))
        return [list(itertools.islice(labels, len(call))) for call in calls]

    def unbatch(self, output: list[list[str]]) -> list[list[str]]:
        return output

    def encode_response(self, output: list[str], **_: Any) -> dict[str, list[str]]:
        return {"labels": output}


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH, batch_timeout=BATCH_WAIT_S)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    port = int(os.environ["BENCH_PORT"])
    server.run("127.0.0.1", port, num_api_servers=1, log_level="warning", generate_client_file=False)
