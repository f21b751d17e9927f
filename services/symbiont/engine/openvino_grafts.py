"""Adds adapters to an OpenVINO graph, as inputs: the graph is the same for every bundle.

Adapters are gathered outside the graph because OpenVINO would convert a whole bank of them at each call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import openvino as ov  # type: ignore[import-untyped]
from openvino import opset13 as ops

Kind = Literal["lora", "houlsby", "shift", "prefix"]
# How NNCF names what scales an activation, and its linear module's weights the other way, before both are rounded.
_SCALED = "/nncf_smooth_quant"
Axis = Literal["rank", "size", "one", "virtual"]


class Feature(NamedTuple):
    """Something that a graph can take of an adapter: a kind at a linear module, or keys and values at a layer."""

    kind: Kind
    place: str


class Group(NamedTuple):
    """Parts of one shape: [rows, length, width], where `axis` names what the length counts.

    `rank` and `size` may differ from adapter to adapter, as may the number of `virtual` tokens; `one` is 1.
    """

    axis: Axis
    width: int


class Part(NamedTuple):
    """One tensor of an adapter."""

    feature: Feature
    name: str


@dataclass(frozen=True, slots=True)
class Grafted:
    """A graph with adapter inputs.

    Attributes:
        model: an openvino.Model; its inputs are those of the base, then `parts`, then `is_relu` bool [rows, 1, 1] if it
            has bottlenecks, then `seen` bool [rows, 1, tokens, virtual] if it has prefixes.
        parts: part -> group, in the order of the inputs.
    """

    model: Any
    parts: dict[Part, Group]


class Graft:
    """Adds features to a clone of a graph, one after the other."""

    def __init__(self, model: Any) -> None:
        self._model = model.clone()
        self._nodes = {node.get_friendly_name(): node for node in self._model.get_ops()}
        self._parts: dict[Part, Group] = {}
        self._inputs: list[Any] = []
        self._is_relu: Any = None
        self._seen: Any = None

    def finish(self) -> Grafted:
        """Returns the graph."""
        switches = [switch for switch in (self._is_relu, self._seen) if switch is not None]
        self._model.add_parameters([*self._inputs, *switches])
        self._model.validate_nodes_and_infer_types()
        return Grafted(self._model, self._parts)

    def lora(self, module: str, end: str, size_in: int, size_out: int) -> None:
        """The module's output gains x a^T b; a is [rows, rank, in], b [rows, rank, out], with scaling folded in."""
        inputs = _source(self._nodes[end])
        feature = Feature("lora", module)
        a = self._input(feature, "a", Group("rank", size_in))
        b = self._input(feature, "b", Group("rank", size_out))
        narrow = ops.matmul(inputs, a, transpose_a=False, transpose_b=True)
        self._add(end, lambda output: ops.add(output, ops.matmul(narrow, b, transpose_a=False, transpose_b=False)))

    def houlsby(self, module: str, end: str, width: int) -> None:
        """The module's output y gains act(y down^T + down_bias) up + up_bias; down and up are [rows, size, out]."""
        feature = Feature("houlsby", module)
        down = self._input(feature, "down", Group("size", width))
        # [rows, size, 1], so that it is as long as the others are.
        down_bias = self._input(feature, "down_bias", Group("size", 1))
        up = self._input(feature, "up", Group("size", width))
        up_bias = self._input(feature, "up_bias", Group("one", width))
        if self._is_relu is None:
            self._is_relu = ops.parameter(ov.PartialShape([-1, 1, 1]), np.bool_)
        is_relu = self._is_relu

        def bottleneck(output: Any) -> Any:
            bias = ops.transpose(down_bias, ops.constant(np.array([0, 2, 1])))
            hidden = ops.add(ops.matmul(output, down, transpose_a=False, transpose_b=True), bias)
            active = ops.select(is_relu, ops.relu(hidden), ops.gelu(hidden, "erf"))
            delta = ops.add(ops.matmul(active, up, transpose_a=False, transpose_b=False), up_bias)
            return ops.add(output, delta)

        self._add(end, bottleneck)

    def shift(self, module: str, end: str, width: int) -> None:
        """The module's output gains a shift [rows, 1, out]."""
        shift = self._input(Feature("shift", module), "shift", Group("one", width))
        self._add(end, lambda output: ops.add(output, shift))

    def prefix(self, layer: int, attention: str, heads: int, head_size: int) -> None:
        """A layer sees further keys and values, each [rows, virtual, heads * head size], where `seen` says so."""
        node = self._nodes[attention]
        feature, group = Feature("prefix", str(layer)), Group("virtual", heads * head_size)
        shape = ops.constant(np.array([0, 0, heads, head_size]))
        for index, name in ((1, "keys"), (2, "values")):
            part = self._input(feature, name, group)
            split = ops.reshape(part, shape, special_zero=True)
            by_head = ops.transpose(split, ops.constant(np.array([0, 2, 1, 3])))
            node.input(index).replace_source_output(ops.concat([by_head, node.input_value(index)], 2).output(0))
        if self._seen is None:
            self._seen = ops.parameter(ov.PartialShape([-1, 1, -1, -1]), np.bool_)
        mask = ops.convert(node.input_value(3), "boolean")
        node.input(3).replace_source_output(ops.concat([self._seen, mask], 3).output(0))

    def _input(self, feature: Feature, name: str, group: Group) -> Any:
        parameter = ops.parameter(ov.PartialShape([-1, 1 if group.axis == "one" else -1, group.width]), np.float32)
        self._parts[Part(feature, name)] = group
        self._inputs.append(parameter)
        return parameter

    def _add(self, end: str, change: Callable[[Any], Any]) -> None:
        """Puts something between a node and those that read it; what is added later comes after it."""
        node = self._nodes[end]
        consumers = list(node.output(0).get_target_inputs())
        changed = change(node)
        for consumer in consumers:
            consumer.replace_source_output(changed.output(0))
        self._nodes[end] = changed


def _source(end: Any) -> Any:
    """What a linear module reads; of a quantised one, before it is scaled and rounded."""
    product = end if end.get_type_name() == "MatMul" else end.input_value(0).get_node()
    source = product.input_value(0)
    while _quantizes(source.get_node()):
        source = source.get_node().input_value(0)
    return source


def _quantizes(node: Any) -> bool:
    """Whether a node stands between a linear module and what it reads because the module was quantised."""
    return node.get_type_name() == "FakeQuantize" or str(node.get_friendly_name()).endswith(_SCALED)
