"""An encoder as an OpenVINO graph, and the places in it where adapters go. Nothing here needs torch."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from symbiont.engine.inputs import InputForm
from symbiont.engine.row import Ids
from symbiont.engine.runtime import Array, HostFacts

_LINEAR = re.compile(r"__module\.encoder\.(?P<module>.+)/aten::linear/(MatMul|Add)")


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
        attentions: names of the attention nodes, by layer.
        heads: of attention, number and size.
        probes: rows with the base's own answers.
    """

    facts: HostFacts
    form: InputForm
    model: Any
    inputs: tuple[str, ...]
    linears: dict[str, LinearEnd]
    attentions: list[str]
    heads: tuple[int, int]
    probes: tuple[Probe, ...]


def places(model: Any, sizes: Mapping[str, tuple[int, int]]) -> tuple[dict[str, LinearEnd], list[str]]:
    """Finds where adapters go by the names of nodes, which quantising and storing a graph leave as they are.

    Args:
        model: an openvino.Model.
        sizes: of each linear module, (in, out).

    Returns:
        the ends of linear modules, and the names of the attention nodes by layer.

    Raises:
        RuntimeError: a linear module is not in the graph.
    """
    ends: dict[str, str] = {}
    attentions: list[str] = []
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        if match := _LINEAR.fullmatch(name):
            # The bias is added after the product, where there is one.
            ends[match["module"]] = name
        elif node.get_type_name() == "ScaledDotProductAttention":
            attentions.append(name)
    _check(sizes, ends)
    return {name: LinearEnd(ends[name], *size) for name, size in sizes.items()}, attentions


def _check(expected: Iterable[str], found: Iterable[str]) -> None:
    if missing := set(expected) - set(found):
        raise RuntimeError(f"modules not found in the converted graph: {sorted(missing)[:4]}")
