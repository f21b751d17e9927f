"""The fast CPU runtime: an encoder compiled by OpenVINO, in fp32 or bf16."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.adapters import Adapter
from symbiont.engine.encoders import Encoder, load_encoder
from symbiont.engine.inputs import Bools, lay_out
from symbiont.engine.openvino_adapters import Layouts, OpenVinoAdapter
from symbiont.engine.openvino_convert import convert
from symbiont.engine.openvino_graphs import GraphTable
from symbiont.engine.runtime import TOLERANCE, Array, Batch, HostFacts, View
from symbiont.engine.settings import Precision


class OpenVinoRuntime:
    """A frozen encoder on CPU."""

    def __init__(self, store: ArtifactStore, digest: str, *, threads: int = 0, precision: Precision = "fp32") -> None:
        """Loads, verifies and compiles a base.

        Args:
            store: where it is.
            digest: of the artifact of kind `bases`.
            threads: for one operation; 0 leaves OpenVINO's own choice.
            precision: of the arithmetic; weights, adapters and answers are fp32 outside the graph.

        Raises:
            NotFound: no such base.
            IntegrityError: the base is damaged, or its manifest does not describe it.
            RuntimeError: the compiled graph does not answer as the base does.
        """
        encoder = load_encoder(store, digest)
        self._facts, self._form = encoder.facts, encoder.form
        converted = convert(encoder)
        self._names = converted.inputs
        self._graphs = GraphTable(converted, threads=threads, precision=precision)
        self._layouts = Layouts()
        self._tolerance = TOLERANCE[precision]
        _compare(self, encoder)

    @property
    def facts(self) -> HostFacts:
        """The base that is loaded."""
        return self._facts

    @property
    def tolerance(self) -> float:
        """Of the precision that was asked for."""
        return self._tolerance

    def place(self, adapter: Adapter) -> OpenVinoAdapter:
        """Copies an adapter, and compiles a graph for its features where there is none yet."""
        placed = self._layouts.place(adapter)
        self._graphs.prepare(placed.layout.features)
        return placed

    def encode(self, batch: Batch) -> Sequence[Array]:
        """Returns for each row [hidden_size], or, of a row viewed by its tokens, [tokens, hidden_size]."""
        adapters: Sequence[OpenVinoAdapter | None] = batch.adapters
        layouts = {adapter.layout for adapter in adapters if adapter is not None}
        graph = self._graphs.get(frozenset().union(*(layout.features for layout in layouts)))
        shifts = [0 if adapter is None else adapter.virtual for adapter in adapters]
        inputs = lay_out(self._form, batch.input_ids, batch.segment_starts, shifts)
        arrays: list[Any] = [np.asarray(getattr(inputs, name), np.int64) for name in self._names]
        return _view(graph.run(arrays, adapters), inputs.mask, batch.views)


def _view(hidden: Array, mask: Bools, views: Sequence[View]) -> Sequence[Array]:
    """hidden is [rows, tokens, hidden_size], mask [rows, tokens]; copies, because the graph writes over hidden."""
    wanted = set(views)
    first = hidden[:, 0].copy() if "cls" in wanted else hidden[:, 0]
    mean = _mean(hidden, mask) if "mean" in wanted else first
    answers: list[Array] = []
    for row, view in enumerate(views):
        if view == "tokens":
            answers.append(hidden[row, : mask[row].sum()].copy())
        else:
            answers.append(mean[row] if view == "mean" else first[row])
    return answers


def _mean(hidden: Array, mask: Bools) -> Array:
    weights = mask.astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    mean: Array = np.matmul(weights[:, None, :], hidden)[:, 0]
    return mean


def _compare(runtime: OpenVinoRuntime, encoder: Encoder) -> None:
    """Tracing keeps only what it sees: tries the graph on other shapes than it was made with."""
    generator = np.random.default_rng(0)
    longest = min(37, encoder.facts.max_length)
    for lengths in ((1,), (2, longest, 5)):
        rows = [generator.integers(0, encoder.facts.vocab_size, length).astype(np.int32) for length in lengths]
        starts = [length // 2 for length in lengths]
        count = len(rows)
        got = runtime.encode(Batch(rows, [None] * count, ["tokens"] * count, starts))
        for ids, start, answer in zip(rows, starts, got, strict=True):
            expected = _alone(encoder, ids, start)
            worst = float(np.abs(answer - expected).max() / np.abs(expected).max())
            if not worst <= runtime.tolerance:
                raise RuntimeError(f"the compiled graph differs from its base by {worst:.2g} of its greatest value")


def _alone(encoder: Encoder, ids: Any, start: int) -> Array:
    inputs = lay_out(encoder.form, [ids], [start], [0])
    types = {"token_type_ids": torch.from_numpy(inputs.types)} if start and encoder.form.has_types else {}
    with torch.inference_mode():
        hidden = encoder.model(input_ids=torch.from_numpy(inputs.ids), **types).last_hidden_state
    answer: Array = hidden[0].numpy()
    return answer
