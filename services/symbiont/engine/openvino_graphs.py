"""Compiled graphs of one encoder: a few, each for another set of the features that adapters have."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import openvino as ov  # type: ignore[import-untyped]

from symbiont.engine.openvino_adapters import Gatherer, OpenVinoAdapter
from symbiont.engine.openvino_encoder import GraphEncoder
from symbiont.engine.openvino_grafts import Feature, Graft, Grafted
from symbiont.engine.runtime import Arithmetic, Array

# Each holds its own copy of the base's weights, in the layout that its kernels want.
MAX_GRAPHS = 4
# Kernels that a graph keeps for shapes it has met; a shape needs several. Mixed batches seldom meet a shape twice:
# with OpenVINO's own 5,000 a host grew by gigabytes before it reached them, and computed no faster for it.
KEPT_KERNELS = 500


@dataclass(frozen=True, slots=True)
class _Lane:
    """What computes one batch at a time, and what fills its adapter inputs."""

    request: Any
    gatherer: Gatherer


class Graph:
    """A compiled graph: so many batches at a time, while others wait."""

    def __init__(self, compiled: Any, parts: Any, lanes: int) -> None:
        self._free: SimpleQueue[_Lane] = SimpleQueue()
        for _ in range(lanes):
            self._free.put(_Lane(compiled.create_infer_request(), Gatherer(parts)))

    @contextmanager
    def run(self, inputs: Sequence[Any], adapters: Sequence[OpenVinoAdapter | None]) -> Iterator[Array]:
        """Computes hidden states [rows, tokens, hidden_size], good until the block ends.

        Args:
            inputs: of the base: int64 arrays [rows, tokens].
            adapters: of each row; the graph must have all their features.
        """
        lane = self._free.get()
        try:
            parts = lane.gatherer.gather(adapters, inputs[0].shape[1])
            yield lane.request.infer([*inputs, *parts], share_inputs=True, share_outputs=True)[0]
        finally:
            self._free.put(lane)


class GraphTable:
    """Compiles graphs for the adapters that are placed. Safe to call from several threads.

    One graph has the features of every adapter ever placed, so any mixture finds a graph and none has to be compiled
    while rows wait. The others are narrower, hence faster, and made while there is room: the plain base is the first.
    """

    def __init__(self, encoder: GraphEncoder, *, threads: int, lanes: int, arithmetic: Arithmetic) -> None:
        """Compiles the plain base, whose `threads` the lanes share; 0 leaves OpenVINO's own choice."""
        self._encoder = encoder
        self._lanes = lanes
        self._core = ov.Core()
        self._config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": lanes,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[arithmetic],
            # A host shares its cores with other processes.
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": KEPT_KERNELS,
        }
        self._lock = threading.Lock()
        self._widest: frozenset[Feature] = frozenset()
        self._graphs = {self._widest: self._compile(self._widest)}

    def prepare(self, features: frozenset[Feature]) -> None:
        """Compiles what is needed for adapters with these features: seconds for a base of usual size."""
        with self._lock:
            widest = self._widest | features
            # The last place is the widest's.
            if features not in self._graphs and len(self._graphs) < MAX_GRAPHS - 1:
                self._graphs = {**self._graphs, features: self._compile(features)}
            if widest not in self._graphs:
                graphs = {**self._graphs, widest: self._compile(widest)}
                if len(graphs) > MAX_GRAPHS:
                    del graphs[self._widest]
                self._graphs = graphs
            self._widest = widest

    def get(self, features: frozenset[Feature]) -> Graph:
        """Returns the narrowest graph that has these features, all of which were prepared."""
        graphs = self._graphs
        if features in graphs:
            return graphs[features]
        return graphs[min((having for having in graphs if having >= features), key=len)]

    def _compile(self, features: frozenset[Feature]) -> Graph:
        grafted = graft(self._encoder, features)
        compiled = self._core.compile_model(grafted.model, "CPU", self._config)
        return Graph(compiled, grafted.parts, self._lanes)


def graft(encoder: GraphEncoder, features: frozenset[Feature]) -> Grafted:
    """Returns the encoder with inputs for these features."""
    clone = Graft(encoder.model)
    # Low-rank pairs first: they read what their module reads, whatever is added to what it gives.
    for kind, place in sorted(features, key=lambda feature: feature.kind != "lora"):
        match kind:
            case "lora":
                clone.lora(place, *encoder.linears[place])
            case "houlsby":
                clone.houlsby(place, encoder.linears[place].node, encoder.linears[place].outputs)
            case "shift":
                clone.shift(place, encoder.biases[place], encoder.facts.biases[place])
            case "prefix":
                clone.prefix(int(place), encoder.attentions[int(place)], *encoder.heads)
    return clone.finish()
