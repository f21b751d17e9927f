"""An encoder as an OpenVINO graph, and the places in it where adapters go. Nothing here needs torch."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from symbiont.engine.inputs import InputForm
from symbiont.engine.row import Ids
from symbiont.engine.runtime import Array, HostFacts

_LINEAR = re.compile(r"__module\.encoder\.(?P<module>.+)/aten::linear/(MatMul|Add)")
_NORM = re.compile(r"__module\.encoder\.(?P<module>.+)/aten::layer_norm/Add")


class LinearEnd(NamedTuple):
    """The node that ends a linear module, and the module's sizes, which the graph does not always tell."""

    node: str
    inputs: int
    outputs: int


class Probe(NamedTuple):
    """A row that tells a graph that differs from its base.

    Attributes:
        ids: int32 [tokens].
        segment_start: where its second text begins, else 0.
        hidden: what the base itself makes of it, alone: [tokens, hidden_size].
    """

    ids: Ids
    segment_start: int
    hidden: Array


@dataclass(frozen=True, slots=True)
class GraphEncoder:
    """A graph from ids, mask and further `inputs`, each int64 [rows, tokens], to hidden states [rows, tokens, hidden].

    Attributes:
        facts: of the base that was converted.
        form: of its inputs.
        model: an openvino.Model.
        inputs: names of `Inputs`' arrays, in order.
        linears: module -> where it ends.
        biases: module with a bias -> the node that has added it.
        attentions: names of the attention nodes, by layer.
        heads: of attention, number and size.
        probes: rows with the base's own answers.
    """

    facts: HostFacts
    form: InputForm
    model: Any
    inputs: tuple[str, ...]
    linears: dict[str, LinearEnd]
    biases: dict[str, str]
    attentions: list[str]
    heads: tuple[int, int]
    probes: tuple[Probe, ...]


class Places(NamedTuple):
    """Where adapters go in a graph; see `GraphEncoder`."""

    linears: dict[str, LinearEnd]
    biases: dict[str, str]
    attentions: list[str]


def places(model: Any, facts: HostFacts) -> Places:
    """Finds where adapters go by the names of nodes, which quantising and storing a graph leave as they are.

    Args:
        model: an openvino.Model.
        facts: of the base that it computes.

    Raises:
        RuntimeError: a linear module, or one with a bias, is not in the graph.
    """
    ends: dict[str, str] = {}
    attentions: list[str] = []
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        if match := _LINEAR.fullmatch(name) or _NORM.fullmatch(name):
            # The bias is added after the product, where there is one.
            ends[match["module"]] = name
        elif node.get_type_name() == "ScaledDotProductAttention":
            attentions.append(name)
    _check({*facts.linears, *facts.biases}, ends)
    linears = {name: LinearEnd(ends[name], *size) for name, size in facts.linears.items()}
    return Places(linears, {name: ends[name] for name in facts.biases}, attentions)


def _check(expected: Iterable[str], found: Iterable[str]) -> None:
    if missing := set(expected) - set(found):
        raise RuntimeError(f"modules not found in the converted graph: {sorted(missing)[:4]}")
