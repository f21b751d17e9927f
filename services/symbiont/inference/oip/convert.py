"""Between the protocol's messages and values."""

from collections.abc import Mapping, Sequence
from typing import Any

from symbiont.common.errors import InvalidArgument
from symbiont.inference.oip import tensors
from symbiont.inference.oip.answering import InferAnswer, InferCall
from symbiont.inference.oip.reading import RequestedOutput, check_outputs, read_batch
from symbiont.inference.oip.statistics import Record
from symbiont.inference.oip.tensors import Tensor
from symbiont.inference.predictor import Limits
from symbiont.inference.reference import parse_open_name
from symbiont.inference.releases.picking import check_key
from symbiont.inference.types import Alias, ModelVersion, Priority, Served
from symbiont.triton.open_inference import model_config_pb2
from symbiont.triton.open_inference import open_inference_pb2 as pb

PLATFORM = "symbiont"
PRIORITY, TIMEOUT, MARK_LAST = "priority", "timeout", "triton_enable_empty_final_response"
ROUTING_KEY = "routing_key"
_PARAMETERS = {
    PRIORITY: "uint64_param",
    TIMEOUT: "int64_param",
    MARK_LAST: "bool_param",
    ROUTING_KEY: "string_param",
}
# KServe's client says by itself how long raw contents are, which they show anyway.
_INPUT = {"binary_data_size": "int64_param"}
_CLASSIFICATION = {"classification": "int64_param"}
_CONTENTS = {
    tensors.BYTES: "bytes_contents",
    tensors.INT32: "int_contents",
    tensors.INT64: "int64_contents",
    tensors.FP32: "fp32_contents",
}


def infer_call_from_proto(request: pb.ModelInferRequest, limits: Limits) -> InferCall:
    """Reads a ModelInferRequest; InvalidArgument names what is wrong, before any work is done for the call."""
    reference = parse_open_name(request.model_name, request.model_version)
    check_parameters("parameters", request.parameters, _PARAMETERS)
    outputs = check_outputs([_requested_output(output) for output in request.outputs])
    given = request.parameters[ROUTING_KEY].string_param if ROUTING_KEY in request.parameters else ""
    key = check_key(f"parameters.{ROUTING_KEY}", given)
    return InferCall(reference, read_batch(_inputs(request, limits.instances), limits.text_bytes), outputs, key)


def timeout_from_proto(request: pb.ModelInferRequest) -> float | None:
    """Returns the seconds that the parameter `timeout` allows; None when it is absent or 0."""
    if TIMEOUT not in request.parameters:
        return None
    check_parameters("parameters", {TIMEOUT: request.parameters[TIMEOUT]}, _PARAMETERS)
    microseconds = request.parameters[TIMEOUT].int64_param
    if microseconds < 0:
        raise InvalidArgument("parameters.timeout", f"{microseconds} is negative")
    return float(microseconds) / 1e6 or None


def priority_from_proto(request: pb.ModelInferRequest) -> Priority:
    """Reads the parameter `priority`: less is more urgent, 0 or nothing the default; from 2 on it is BATCH."""
    if PRIORITY not in request.parameters:
        return Priority.INTERACTIVE
    check_parameters("parameters", {PRIORITY: request.parameters[PRIORITY]}, _PARAMETERS)
    return Priority.BATCH if request.parameters[PRIORITY].uint64_param > 1 else Priority.INTERACTIVE


def infer_answer_to_proto(request: pb.ModelInferRequest, answer: InferAnswer) -> pb.ModelInferResponse:
    """Makes a ModelInferResponse, in raw contents when the inputs were raw."""
    response = pb.ModelInferResponse(
        model_name=request.model_name, model_version=str(answer.version.number), id=request.id
    )
    for name, value in _digests(answer.version).items():
        response.parameters[name].string_param = value
    if request.parameters[MARK_LAST].bool_param if MARK_LAST in request.parameters else False:
        response.parameters["triton_final_response"].bool_param = True
    for tensor in answer.outputs:
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.values.shape)
        if request.raw_input_contents:
            response.raw_output_contents.append(tensors.to_raw(tensor))
        else:
            getattr(output.contents, _CONTENTS[tensor.datatype]).extend(tensor.values.reshape(-1).tolist())
    return response


def metadata_to_proto(name: str, served: Served) -> pb.ModelMetadataResponse:
    """Makes a ModelMetadataResponse: TEXT, or INPUT_IDS with or without ATTENTION_MASK, goes in."""
    response = pb.ModelMetadataResponse(name=name, versions=[str(served.version.number)], platform=PLATFORM)
    for tensor, datatype, shape in _input_shapes():
        response.inputs.add(name=tensor, datatype=datatype, shape=shape)
    for tensor, datatype, shape in _output_shapes(served):
        response.outputs.add(name=tensor, datatype=datatype, shape=shape)
    return response


def config_to_proto(name: str, served: Served) -> pb.ModelConfigResponse:
    """Makes a ModelConfigResponse with names, types and shapes, and nothing that the model does not have.

    The shapes include the rows, so `max_batch_size` is 0: Triton's word for that.
    """
    types = {
        tensors.BYTES: model_config_pb2.TYPE_STRING,
        tensors.INT32: model_config_pb2.TYPE_INT32,
        tensors.FP32: model_config_pb2.TYPE_FP32,
    }
    response = pb.ModelConfigResponse()
    config = response.config
    config.name, config.platform, config.max_batch_size = name, PLATFORM, 0
    for tensor, datatype, shape in _input_shapes():
        config.input.add(name=tensor, data_type=types[datatype], dims=shape, optional=True)
    for tensor, datatype, shape in _output_shapes(served):
        config.output.add(name=tensor, data_type=types[datatype], dims=shape)
    for key, value in _digests(served.version).items():
        config.parameters[key].string_value = value
    return response


def statistics_to_proto(records: Sequence[Record]) -> pb.ModelStatisticsResponse:
    """Makes a ModelStatisticsResponse. What is not measured (queue, cache, batches) is left out."""
    response = pb.ModelStatisticsResponse()
    for record in records:
        entry = response.model_stats.add(
            name=record.model,
            version=str(record.number),
            last_inference=record.last_ms,
            inference_count=record.rows,
            # Each call that Triton answered was one request to it.
            execution_count=record.sums["compute_infer"].count if "compute_infer" in record.sums else 0,
        )
        for name, value in record.sums.items():
            part = getattr(entry.inference_stats, name)
            part.count, part.ns = value.count, value.ns
    return response


def index_to_proto(models: Sequence[tuple[Alias, bool]], ready_only: bool) -> pb.RepositoryIndexResponse:
    """Makes a RepositoryIndexResponse of aliases and whether the host of each is ready."""
    response = pb.RepositoryIndexResponse()
    for alias, ready in models:
        if ready or not ready_only:
            reason = "" if ready else "its base model is not loaded in Triton now"
            state = "READY" if ready else "UNAVAILABLE"
            response.models.add(name=alias.model, version=str(alias.version.number), state=state, reason=reason)
    return response


def loaded_to_proto(name: str) -> pb.RepositoryModelLoadResponse:
    """Makes a RepositoryModelLoadResponse.

    Triton's has no fields; KServe's has `model_name = 1` and `isLoaded = 2`. Bytes with both are good for either
    client, because a reader keeps fields that it does not know out of the way.
    """
    named = pb.RepositoryIndexResponse.ModelIndex(name=name).SerializeToString()
    is_loaded = b"\x10\x01"
    return pb.RepositoryModelLoadResponse.FromString(named + is_loaded)


def loaded_name(request: pb.RepositoryModelLoadRequest) -> str:
    """Returns the model that is meant: Triton's clients name it in field 2, KServe's in field 1."""
    return str(request.model_name or request.repository_name)


def check_parameters(where: str, parameters: Mapping[str, Any], known: Mapping[str, str]) -> None:
    """Refuses parameters that are unknown or of another kind than `known` says."""
    for name, value in parameters.items():
        kind = known.get(name)
        if kind is None:
            problem = f"there is no such parameter; there are {', '.join(known)}" if known else "none is taken"
            raise InvalidArgument(f"{where}[{name[:100]!r}]", problem)
        if value.WhichOneof("parameter_choice") != kind:
            raise InvalidArgument(f"{where}.{name}", f"it must be given as {kind}")


def _requested_output(output: Any) -> RequestedOutput:
    check_parameters(output.name[:100] or "outputs", output.parameters, _CLASSIFICATION)
    if "classification" not in output.parameters:
        return RequestedOutput(output.name)
    classes = output.parameters["classification"].int64_param
    if classes < 1:
        raise InvalidArgument(output.name, f"classification: {classes} is not a number of classes, 1 or more")
    return RequestedOutput(output.name, classes)


def _inputs(request: pb.ModelInferRequest, max_rows: int) -> Sequence[Tensor]:
    raw = request.raw_input_contents
    if len(request.inputs) > len(tensors.DATATYPES):
        raise InvalidArgument("inputs", f"{len(request.inputs)} are given, a model has {len(tensors.DATATYPES)}")
    for given in request.inputs:
        tensors.check_header(given.name, given.datatype, given.shape, max_rows)
        # Shared memory is among those that are refused.
        check_parameters(given.name, given.parameters, _INPUT)
        if raw and given.contents.ListFields():
            raise InvalidArgument(given.name, "it has typed contents beside raw_input_contents: give one of the two")
    if raw and len(raw) != len(request.inputs):
        raise InvalidArgument("raw_input_contents", f"{len(raw)} are given for {len(request.inputs)} inputs")
    if raw:
        return [
            tensors.from_raw(given.name, given.datatype, given.shape, data)
            for given, data in zip(request.inputs, raw, strict=True)
        ]
    return [_typed(given) for given in request.inputs]


def _typed(given: Any) -> Tensor:
    field = _CONTENTS[given.datatype]
    others = [descriptor.name for descriptor, _ in given.contents.ListFields() if descriptor.name != field]
    if others:
        raise InvalidArgument(given.name, f"{given.datatype} stands in {field}, not in {', '.join(others)}")
    return tensors.from_elements(given.name, given.datatype, given.shape, getattr(given.contents, field))


def _digests(version: ModelVersion) -> Mapping[str, str]:
    return {
        "model_version": version.name,
        "base_digest": version.base_digest,
        "tokenizer_digest": version.tokenizer_digest,
        "bundle_digest": version.bundle_digest,
    }


def _input_shapes() -> Sequence[tuple[str, str, Sequence[int]]]:
    ids = [(name, tensors.INT32, [-1, -1]) for name in (tensors.INPUT_IDS, tensors.ATTENTION_MASK)]
    return [(tensors.TEXT, tensors.BYTES, [-1]), *ids]


def _output_shapes(served: Served) -> Sequence[tuple[str, str, Sequence[int]]]:
    labels = len(served.bundle.labels)
    return [(tensors.PROBABILITIES, tensors.FP32, [-1, labels]), (tensors.LABEL, tensors.BYTES, [-1])]
