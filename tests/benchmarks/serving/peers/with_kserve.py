"""KServe's Python server over gRPC. It joins no calls: KServe's batcher is a proxy in Go that speaks HTTP alone."""

import os
from typing import Any

from classifier import Classifier
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Served(Model):
    def __init__(self) -> None:
        super().__init__("classifier")
        self.load()

    def load(self) -> bool:
        self.classifier = Classifier()
        self.ready = True
        return self.ready

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        values = payload.inputs[0].as_numpy().reshape(-1)
        labels = self.classifier([value.decode() if isinstance(value, bytes) else value for value in values])
        output = InferOutput("LABEL", [len(labels)], "BYTES", [label.encode() for label in labels])
        return InferResponse(payload.id, self.name, [output])


if __name__ == "__main__":
    port = int(os.environ["BENCH_PORT"])
    ModelServer(http_port=port + 1, grpc_port=port, workers=1).start([Served()])
