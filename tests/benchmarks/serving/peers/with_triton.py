"""Plain Triton: its Python backend with tokenizer and engine inside one model, and its dynamic batcher.

The process becomes Triton; `TritonPythonModel` is what Triton then loads.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONFIG = """
backend: "python"
max_batch_size: 32
input { name: "TEXT" data_type: TYPE_STRING dims: [1] }
output { name: "LABEL" data_type: TYPE_STRING dims: [1] }
instance_group { kind: KIND_CPU count: 1 }
dynamic_batching { max_queue_delay_microseconds: 1000 }
"""


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        from classifier import Classifier

        self.classifier = Classifier()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        import numpy
        import triton_python_backend_utils as utils

        values = [utils.get_input_tensor_by_name(request, "TEXT").as_numpy()[:, 0] for request in requests]
        labels = self.classifier([value.decode() for column in values for value in column])
        answers, start = [], 0
        for column in values:
            own = numpy.array([[label.encode()] for label in labels[start : start + len(column)]], numpy.object_)
            answers.append(utils.InferenceResponse([utils.Tensor("LABEL", own)]))
            start += len(column)
        return answers


def main() -> None:
    from symbiont.triton.installation import find_triton
    from symbiont.triton.launcher import command

    port, work = int(os.environ["BENCH_PORT"]), Path(os.environ["BENCH_WORK"])
    triton = find_triton(Path(os.environ["BENCH_TRITON"]))
    argv, env = command(triton, grpc_port=port, http_port=port + 1, metrics_port=port + 2, work_dir=work)
    version = work / "models" / "classifier" / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    shutil.copy(__file__, version / "model.py")
    # The launcher lists the folders of modules here; the classifier's is not among them.
    for packages in (work / "python").glob("lib/*/site-packages/symbiont.pth"):
        packages.write_text(packages.read_text() + f"{Path(__file__).parent}\n")
    argv = ["--model-control-mode=none" if "model-control-mode" in part else part for part in argv]
    os.execve(argv[0], argv, env)


if __name__ == "__main__":
    main()
