"""The model that every peer serves: tokenizer, MiniLM with its head as ONNX, labels; runs in the peer's environment.

What to serve comes by environment variables: BENCH_MODEL (folder), BENCH_ENGINE, BENCH_THREADS; BENCH_PORT is where
the server is to listen, and BENCH_WORK a folder of its own.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
# One request may carry so many texts, and so many are joined from several.
MAX_BATCH = 32
# How long the first of a batch waits for others, in seconds, where the server wants such a time.
BATCH_WAIT_S = 0.005


class Classifier:
    """Labels of texts. Not safe to call from several threads."""

    def __init__(self) -> None:
        folder = Path(os.environ["BENCH_MODEL"])
        facts = json.loads((folder / "facts.json").read_text())
        self._labels = facts["labels"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The published file pads everything to 128.
        self._tokenizer.enable_padding()
        self._tokenizer.enable_truncation(facts["max_tokens"])
        self._forward = ENGINES[os.environ["BENCH_ENGINE"]](folder / "model.onnx", int(os.environ["BENCH_THREADS"]))

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Returns the most probable label of each text."""
        rows = self._tokenizer.encode_batch_fast(list(texts))
        ids = np.array([row.ids for row in rows], np.int64)
        mask = np.array([row.attention_mask for row in rows], np.int64)
        return [self._labels[index] for index in self._forward(ids, mask).argmax(axis=1)]


def _onnxruntime(model: Path, threads: int) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin between two calls take the cores from the server around them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]


def _openvino(model: Path, threads: int) -> Forward:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(str(model), "CPU", settings).create_infer_request()

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return request.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True)["logits"]

    return forward


ENGINES = {"onnxruntime": _onnxruntime, "openvino": _openvino}
