"""A customer's own layers as an ONNX graph: what such a file may hold, checked before anything computes with it.

A file that passes is plain arithmetic on rows of numbers: one input, one output, operators of a list, no control flow,
no code, nothing outside the file, and no tensor that is larger than its limit or grows faster than the rows.
"""

import math
from collections.abc import Iterable
from typing import Any

from symbiont.common.errors import IntegrityError

FILE = "module.onnx"
# Of ONNX, by which operators mean what they mean, and of its files.
OPSET, IR_VERSION = 20, 10
INPUT, OUTPUT = "inputs", "outputs"
MOST_BYTES = 16 << 20
MOST_NODES = 500
# Of one tensor: of the file's own, and of each that is computed for as many rows as an engine computes at a time.
MOST_VALUES, MOST_ROWS = 1 << 22, 64
_OPERATORS = """
    Abs Add And AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant ConstantOfShape Conv Cos Div Elu
    Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
    GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal ReduceL1
    ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape
    Sigmoid Sign Sin Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_OPERATORS.split())


def check(content: bytes, inputs: int, outputs: int) -> None:
    """Raises IntegrityError unless a file is a graph from [rows, inputs] to [rows, outputs] that may be loaded."""
    if len(content) > MOST_BYTES:
        raise IntegrityError(f"{FILE} has {len(content)} bytes; at most {MOST_BYTES} are loaded")
    model = _parse(content)
    _check_form(model)
    graph = model.graph
    for tensor in _tensors(graph):
        _check_tensor(tensor)
    for node in graph.node:
        _check_node(node)
    _check_ends(graph, inputs, outputs)
    _check_sizes(model)


def _parse(content: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as exc:
        raise IntegrityError(f"{FILE} is no ONNX file") from exc
    known: Any = onnx.ModelProto()
    known.CopyFrom(model)
    known.DiscardUnknownFields()
    if known.ByteSize() != model.ByteSize():
        raise IntegrityError(f"{FILE} has parts that ONNX does not know")
    return model


def _check_form(model: Any) -> None:
    opsets = [(each.domain, each.version) for each in model.opset_import]
    if opsets != [("", OPSET)] or model.ir_version != IR_VERSION:
        raise IntegrityError(f"{FILE} is of the operator sets {opsets} and version {model.ir_version}, not {OPSET}")
    graph = model.graph
    beside = (model.functions, model.training_info, graph.sparse_initializer, graph.quantization_annotation)
    if any(beside):
        raise IntegrityError(f"{FILE} has functions, training, sparse or quantised tensors, which are not served")
    if len(graph.node) > MOST_NODES:
        raise IntegrityError(f"{FILE} has {len(graph.node)} operators; at most {MOST_NODES} are loaded")


def _tensors(graph: Any) -> Iterable[Any]:
    """Yields every tensor of the file."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(tensor: Any) -> None:
    import numpy as np
    import onnx

    if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
        raise IntegrityError(f"{FILE}: the tensor {tensor.name!r} is kept outside the file")
    if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL):
        raise IntegrityError(f"{FILE}: the tensor {tensor.name!r} is neither fp32 nor int64 nor bool")
    if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > MOST_VALUES:
        raise IntegrityError(
            f"{FILE}: the tensor {tensor.name!r} has the shape {list(tensor.dims)}, which is too large"
        )
    try:
        values = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as exc:
        raise IntegrityError(f"{FILE}: the tensor {tensor.name!r} does not have the values of its shape") from exc
    if np.isnan(values).any():
        raise IntegrityError(f"{FILE}: the tensor {tensor.name!r} holds NaN")


def _check_node(node: Any) -> None:
    import onnx

    if node.domain or node.op_type not in OPERATORS:
        raise IntegrityError(
            f"{FILE}: the operator {node.domain or 'ai.onnx'}.{node.op_type} is not one that is served"
        )
    plain = {onnx.AttributeProto.FLOAT, onnx.AttributeProto.INT, onnx.AttributeProto.STRING, onnx.AttributeProto.TENSOR}
    plain |= {onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS}
    for attribute in node.attribute:
        if attribute.type not in plain or attribute.ref_attr_name:
            raise IntegrityError(f"{FILE}: {node.op_type} has {attribute.name!r}, which is no plain value")


def _check_ends(graph: Any, inputs: int, outputs: int) -> None:
    ends = [(each.name, _form(each)) for each in (*graph.input, *graph.output)]
    rows = graph.input[0].type.tensor_type.shape.dim[:1] if graph.input else ()
    wanted = [(INPUT, [0, inputs]), (OUTPUT, [0, outputs])]
    if len(graph.input) != 1 or ends != wanted or not any(row.dim_param for row in rows):
        raise IntegrityError(f"{FILE} is from and to {ends}; it should be {wanted} for any number of rows, which is 0")


def _form(value: Any) -> list[int] | None:
    """Returns the shape of an fp32 tensor, 0 where a size is not said."""
    import onnx

    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type != onnx.TensorProto.FLOAT:
        return None
    return [dim.dim_value for dim in tensor.shape.dim]


def _check_sizes(model: Any) -> None:
    """Infers the shape of all that is computed, for every number of rows: what a graph makes of one may be of another.

    Takes up to half a second for a file as large as may be.
    """
    sound = _sound(model)
    one: dict[str, int] = {}
    for rows in range(1, MOST_ROWS + 1):
        many = _sizes(sound, rows)
        one = one or many
        for name, size in many.items():
            if size > MOST_VALUES or size > rows * one.get(name, 0):
                raise IntegrityError(
                    f"{FILE}: {name!r} has {one.get(name, 0)} values for a row and {size} for {rows}; it should have "
                    f"at most {MOST_VALUES}, and grow with the rows"
                )


def _sound(model: Any) -> Any:
    """Returns a copy without the values that no shape follows from, so that inference does not carry them about."""
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    # What the file says of its own shapes is not believed.
    del fixed.graph.value_info[:]
    try:
        onnx.checker.check_model(fixed)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as exc:
        raise _unsound(exc) from exc
    for tensor in _tensors(fixed.graph):
        if tensor.data_type != onnx.TensorProto.INT64:
            for part in ("raw_data", "float_data", "int32_data"):
                tensor.ClearField(part)
    return fixed


def _sizes(fixed: Any, rows: int) -> dict[str, int]:
    import onnx

    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = rows
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as exc:
        raise _unsound(exc) from exc
    known = {value.name: value.type.tensor_type for value in (*inferred.value_info, *inferred.output)}
    sizes: dict[str, int] = {}
    for node in fixed.graph.node:
        for name in filter(None, node.output):
            dims = known[name].shape.dim if name in known and known[name].HasField("shape") else None
            if dims is None or not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims):
                raise IntegrityError(f"{FILE}: the shape of {name!r}, by {node.op_type}, does not follow from the rows")
            sizes[name] = math.prod(dim.dim_value for dim in dims)
    return sizes


def _unsound(problem: Exception) -> IntegrityError:
    return IntegrityError(f"{FILE} is not sound: {str(problem).splitlines()[0][:300]}")
