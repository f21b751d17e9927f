"""A graph of somebody's own is loaded only if it is plain arithmetic on rows; each file here is wrong in one way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from symbiont.bundle import own_module
from symbiont.common.errors import IntegrityError
from symbiont.engine.packing import PackingLimits

INPUTS, OUTPUTS = 6, 4
Change = Callable[[Any], None]


def graph(nodes: list[Any] | None = None, tensors: dict[str, Any] | None = None) -> Any:
    """Returns a linear layer with a GELU, or the nodes given in its place."""
    weight = np.ones((OUTPUTS, INPUTS), np.float32)
    nodes = nodes or [
        helper.make_node("Gemm", ["inputs", "weight"], ["linear"], transB=1),
        helper.make_node("Gelu", ["linear"], ["outputs"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])
        for name, size in (("inputs", INPUTS), ("outputs", OUTPUTS))
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in (tensors or {"weight": weight}).items()]
    made = helper.make_graph(nodes, "own", ends[:1], ends[1:], initializers)
    opset = helper.make_opsetid("", own_module.OPSET)
    return helper.make_model(made, opset_imports=[opset], ir_version=own_module.IR_VERSION)


def check(model: Any) -> None:
    own_module.check(model.SerializeToString(), INPUTS, OUTPUTS)


def test_a_plain_graph_passes() -> None:
    check(graph())


def _outside(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _outside_in_an_attribute(model: Any) -> None:
    tensor = numpy_helper.from_array(np.ones(OUTPUTS, np.float32), "value")
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["more"], value=tensor))


def _branch(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node[1].attribute.append(helper.make_attribute("body", body))


def _short(model: Any) -> None:
    model.graph.initializer[0].raw_data = b"\0" * 8


def _nan(model: Any) -> None:
    model.graph.initializer[0].raw_data = np.full((OUTPUTS, INPUTS), np.nan, np.float32).tobytes()


def _huge_dims(model: Any) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([1 << 40, 1 << 40])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: setattr(m.opset_import[0], "version", 11), "operator sets"),
        (lambda m: m.opset_import.add(domain="com.microsoft", version=1), "operator sets"),
        (lambda m: setattr(m, "ir_version", 3), "version 3"),
        (_outside, "outside the file"),
        (_outside_in_an_attribute, "outside the file"),
        (_huge_dims, "too large"),
        (_short, "does not have the values of its shape"),
        (_nan, "holds NaN"),
        (lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING), "neither fp32"),
        (lambda m: setattr(m.graph.node[1], "op_type", "Loop"), r"ai\.onnx\.Loop is not one"),
        (lambda m: setattr(m.graph.node[1], "op_type", "RandomNormalLike"), "RandomNormalLike"),
        (lambda m: setattr(m.graph.node[1], "domain", "evil"), r"evil\.Gelu"),
        (_branch, "no plain value"),
        (lambda m: m.functions.add(name="Gelu", domain="x"), "functions"),
        (lambda m: m.graph.input.add(name="more"), "from and to"),
        (lambda m: setattr(m.graph.input[0], "name", "rows"), "from and to"),
        (lambda m: setattr(m.graph.output[0].type.tensor_type, "elem_type", TensorProto.DOUBLE), "from and to"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 1), "any number of rows"),
        (lambda m: setattr(m.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 3), "from and to"),
        (lambda m: m.graph.node[1].input.__setitem__(0, "nowhere"), "is not sound"),
        (lambda m: m.graph.node.reverse(), "is not sound"),
        (lambda m: m.graph.node.extend([m.graph.node[1]] * own_module.MOST_NODES), "operators; at most"),
    ],
)
def test_what_is_not_plain_is_refused(change: Change, problem: str) -> None:
    model = graph()
    change(model)
    with pytest.raises(IntegrityError, match=problem):
        check(model)


def _chain(*nodes: tuple[str, list[str], str]) -> list[Any]:
    return [helper.make_node(kind, inputs, [output]) for kind, inputs, output in nodes]


def test_what_grows_without_measure_is_refused() -> None:
    """Small files may ask for large tensors: of one made of two, of a shape that is told, or of all pairs of rows."""
    # [rows, 6, 1] times [1, 1, 1e6].
    wide = {"axis": np.array([2]), "long": np.ones((1, 1, 1_000_000), np.float32), "weight": np.ones(1, np.float32)}
    nodes = _chain(
        ("Unsqueeze", ["inputs", "axis"], "thin"), ("Mul", ["thin", "long"], "large"), ("Relu", ["large"], "outputs")
    )
    with pytest.raises(IntegrityError, match=r"values for a row|not sound"):
        check(graph(nodes, wide))
    shape = {"shape": np.array([1 << 20, 1 << 20])}
    nodes = _chain(("Expand", ["inputs", "shape"], "large"), ("Relu", ["large"], "outputs"))
    with pytest.raises(IntegrityError, match=r"values for a row|not sound|does not follow"):
        check(graph(nodes, shape))
    nodes = _chain(
        ("Transpose", ["inputs"], "turned"),
        ("MatMul", ["inputs", "turned"], "pairs"),
        ("MatMul", ["pairs", "inputs"], "back"),
        ("MatMul", ["back", "weight"], "outputs"),
    )
    with pytest.raises(IntegrityError, match="'pairs' has 1 values for a row and 4 for 2"):
        check(graph(nodes, {"weight": np.ones((INPUTS, OUTPUTS), np.float32)}))
    # Of a shape that only the values tell.
    nodes = _chain(
        ("Cast", ["inputs"], "numbers"), ("Expand", ["inputs", "numbers"], "any"), ("Relu", ["any"], "outputs")
    )
    nodes[0].attribute.append(helper.make_attribute("to", TensorProto.INT64))
    with pytest.raises(IntegrityError, match=r"not sound|does not follow"):
        check(graph(nodes))


def test_what_grows_between_the_first_and_the_last_number_of_rows_is_refused() -> None:
    """Of n rows it makes ((n - 1) * (64 - n) + 1) copies: one of 1 and of 64, and hundreds of those between."""
    tensors = {"one": np.array([1]), "last": np.array([64]), "width": np.array([INPUTS])}
    nodes = _chain(
        ("Shape", ["inputs"], "n"),
        ("Sub", ["n", "one"], "up"),
        ("Sub", ["last", "n"], "down"),
        ("Mul", ["up", "down"], "curve"),
        ("Add", ["curve", "one"], "copies"),
        ("Concat", ["n", "copies", "width"], "shape"),
        ("Unsqueeze", ["inputs", "one"], "thin"),
        ("Expand", ["thin", "shape"], "large"),
        ("ReduceMean", ["large", "one"], "mean"),
        ("MatMul", ["mean", "weight"], "outputs"),
    )
    for number, name, value in ((0, "end", 1), (5, "axis", 0), (8, "keepdims", 0)):
        nodes[number].attribute.append(helper.make_attribute(name, value))
    with pytest.raises(IntegrityError, match="'large' has 6 values for a row and 756 for 2"):
        check(graph(nodes, {**tensors, "weight": np.ones((INPUTS, OUTPUTS), np.float32)}))


def test_as_many_rows_are_tried_as_an_engine_computes() -> None:
    assert PackingLimits().max_rows <= own_module.MOST_ROWS


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"PK\x03\x04" + b"\0" * 100])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        own_module.check(content, INPUTS, OUTPUTS)


def test_a_large_file_is_not_even_parsed() -> None:
    with pytest.raises(IntegrityError, match="at most"):
        own_module.check(b"\0" * (own_module.MOST_BYTES + 1), INPUTS, OUTPUTS)


def test_parts_that_onnx_does_not_know_are_refused() -> None:
    """Another parser might know them, and nobody has looked at them."""
    # Field 999, a string of three bytes.
    unknown = bytes([0xBA, 0x3E, 3]) + b"abc"
    with pytest.raises(IntegrityError, match="parts that ONNX does not know"):
        own_module.check(graph().SerializeToString() + unknown, INPUTS, OUTPUTS)


def test_every_operator_of_the_list_is_one() -> None:
    assert all(onnx.defs.has(name) for name in own_module.OPERATORS)
