"""The fast CPU runtime: an encoder compiled by OpenVINO, in fp32 or bf16, and in int8 for the bundles that allow it."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.adapters import Adapter
from symbiont.engine.inputs import Bools, lay_out
from symbiont.engine.openvino_adapters import Layouts, OpenVinoAdapter
from symbiont.engine.openvino_encoder import Probe
from symbiont.engine.openvino_graphs import GraphTable
from symbiont.engine.openvino_quantized import QuantizedTables, load_quantized
from symbiont.engine.openvino_stored import load_graph
from symbiont.engine.precision import choose
from symbiont.engine.runtime import TOLERANCE, Array, Batch, HostFacts, View
from symbiont.engine.settings import Precision

# As many as requests that the inference service sends at a time. Each has threads of its own: an operation that all of
# them share waits, at each of its many ends, for the one that another process keeps from its core.
MAX_LANES = 2


class OpenVinoRuntime:
    """A frozen encoder on CPU."""

    def __init__(self, store: ArtifactStore, digest: str, *, threads: int = 0, precision: Precision = "fp32") -> None:
        """Loads, verifies and compiles a base.

        Args:
            store: where it is.
            digest: of the artifact of kind `bases`.
            threads: that compute, shared by the lanes; 0 leaves OpenVINO's own choice.
            precision: of the arithmetic; weights, adapters and answers are fp32 outside the graphs.

        Raises:
            NotFound: no such base.
            IntegrityError: the base is damaged, or its manifest does not describe it.
            RuntimeError: the compiled graph does not answer as the base does.
        """
        base = load_graph(store, digest)
        self._facts, self._form, self._names = base.facts, base.form, base.inputs
        arithmetic, takes_int8 = choose(precision)
        self._lanes = min(MAX_LANES, threads or len(os.sched_getaffinity(0)))
        self._graphs = GraphTable(base, threads=threads, lanes=self._lanes, arithmetic=arithmetic)

        def load(quantized: str) -> GraphTable:
            # What is not quantised in it stays fp32 on every CPU: it is what the bundle was checked with.
            encoder = load_quantized(store, quantized, base)
            return GraphTable(encoder, threads=threads, lanes=self._lanes, arithmetic="fp32")

        self._tables = QuantizedTables(load) if takes_int8 else None
        self._layouts = Layouts()
        self._tolerance = TOLERANCE[arithmetic]
        _compare(self, base.probes)

    @property
    def facts(self) -> HostFacts:
        """The base that is loaded."""
        return self._facts

    @property
    def lanes(self) -> int:
        """Two, where there are threads for them."""
        return self._lanes

    @property
    def tolerance(self) -> float:
        """Of the arithmetic of the base itself."""
        return self._tolerance

    def place(self, adapter: Adapter) -> OpenVinoAdapter:
        """Copies an adapter, and compiles a graph for its features where there is none yet."""
        placed = self._layouts.place(adapter)
        self._graphs.prepare(placed.layout.features)
        return placed

    def quantized(self, digest: str, adapter: OpenVinoAdapter | None) -> GraphTable | None:
        """Returns the graphs of a quantised form, one for this adapter's features among them; None for no int8."""
        if self._tables is None:
            return None
        table = self._tables.get(digest)
        table.prepare(adapter.layout.features if adapter else frozenset())
        return table

    def encode(self, batch: Batch) -> Sequence[Array]:
        """Returns for each row [hidden_size], or, of a row viewed by its tokens, [tokens, hidden_size]."""
        rows_of: dict[GraphTable, list[int]] = {}
        for row, table in enumerate(batch.quantized):
            rows_of.setdefault(table or self._graphs, []).append(row)
        if len(rows_of) < 2:
            return self._encode(next(iter(rows_of), self._graphs), batch)
        answers: dict[int, Array] = {}
        for table, rows in rows_of.items():
            answers.update(zip(rows, self._encode(table, _part(batch, rows)), strict=True))
        return [answers[row] for row in range(len(batch.input_ids))]

    def _encode(self, table: GraphTable, batch: Batch) -> Sequence[Array]:
        adapters: Sequence[OpenVinoAdapter | None] = batch.adapters
        layouts = {adapter.layout for adapter in adapters if adapter is not None}
        graph = table.get(frozenset().union(*(layout.features for layout in layouts)))
        shifts = [0 if adapter is None else adapter.virtual for adapter in adapters]
        inputs = lay_out(self._form, batch.input_ids, batch.segment_starts, shifts)
        arrays: list[Any] = [np.asarray(getattr(inputs, name), np.int64) for name in self._names]
        with graph.run(arrays, adapters) as hidden:
            return _view(hidden, inputs.mask, batch.views)


def _part(batch: Batch, rows: Sequence[int]) -> Batch:
    """Returns some rows of a batch; which graphs compute them is known by now."""
    return Batch(
        input_ids=[batch.input_ids[row] for row in rows],
        adapters=[batch.adapters[row] for row in rows],
        views=[batch.views[row] for row in rows],
        segment_starts=[batch.segment_starts[row] for row in rows],
    )


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


def _compare(runtime: OpenVinoRuntime, probes: Sequence[Probe]) -> None:
    """Tracing keeps only what it sees: tries the graph on other shapes than it was made with, alone and together."""
    for tried in (probes[:1], probes[1:]):
        count = len(tried)
        rows, starts = [probe.ids for probe in tried], [probe.segment_start for probe in tried]
        got = runtime.encode(Batch(rows, [None] * count, ["tokens"] * count, starts))
        for probe, answer in zip(tried, got, strict=True):
            worst = float(np.abs(answer - probe.hidden).max() / np.abs(probe.hidden).max())
            if not worst <= runtime.tolerance:
                raise RuntimeError(f"the compiled graph differs from its base by {worst:.2g} of its greatest value")
