"""PyTriton: a function bound to Triton, which joins calls by its dynamic batcher."""

import os
import sysconfig
import threading
from pathlib import Path

import numpy as np
from classifier import BATCH_WAIT_S, MAX_BATCH, Classifier
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main() -> None:
    # Triton's backend embeds Python: the library must be that of the standard library beside it.
    folders = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
    classifier = Classifier()

    @batch
    def infer(TEXT: np.ndarray) -> dict[str, np.ndarray]:
        labels = classifier([value.decode() for value in TEXT[:, 0]])
        return {"LABEL": np.array([[label.encode()] for label in labels], np.object_)}

    port = int(os.environ["BENCH_PORT"])
    config = TritonConfig(grpc_address="127.0.0.1", grpc_port=port, http_port=port + 1, metrics_port=port + 2)
    waiting = DynamicBatcher(max_queue_delay_microseconds=int(BATCH_WAIT_S * 1e6))
    with Triton(config=config, workspace=Path(os.environ["BENCH_WORK"]) / "pytriton") as triton:
        triton.bind(
            model_name="classifier",
            infer_func=infer,
            inputs=[Tensor(name="TEXT", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="LABEL", dtype=bytes, shape=(1,))],
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=waiting),
        )
        triton.run()
        threading.Event().wait()


if __name__ == "__main__":
    main()
