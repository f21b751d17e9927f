"""MLServer: a custom runtime over gRPC, adaptive batching, one worker process, as its documents show."""

import asyncio
import os

from classifier import BATCH_WAIT_S, MAX_BATCH, Classifier
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import StringCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse


class Model(MLModel):
    async def load(self) -> bool:
        self.classifier = Classifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        labels = self.classifier(StringCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("LABEL", labels)])


async def main() -> None:
    port = int(os.environ["BENCH_PORT"])
    settings = Settings(
        host="127.0.0.1",
        grpc_port=port,
        http_port=port + 1,
        metrics_port=port + 2,
        metrics_dir=os.environ["BENCH_WORK"],
        parallel_workers=1,
        debug=False,
    )
    model = ModelSettings(
        name="classifier",
        implementation=Model,
        parameters=ModelParameters(version="1"),
        max_batch_size=MAX_BATCH,
        max_batch_time=BATCH_WAIT_S,
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
