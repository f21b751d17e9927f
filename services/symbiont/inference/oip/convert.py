"""Between the protocol's messages and values."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from symbiont.common.access.views import NAME, current_view
from symbiont.common.errors import InvalidArgument
from symbiont.common.offsets import OffsetUnit
from symbiont.inference.oip import tensors
from symbiont.inference.oip.answering import InferAnswer
from symbiont.inference.oip.asking import OPTIONS, InferCall, RequestedOutput
from symbiont.inference.oip.signature import inputs_of, outputs_of
from symbiont.inference.oip.statistics import Record
from symbiont.inference.oip.tensors import Tensor, place
from symbiont.inference.predictor import Limits
from symbiont.inference.reference import open_name, parse_open_name
from symbiont.inference.releases.picking import check_key
from symbiont.inference.types import Alias, ModelVersion, PredictCall, Priority, Served
from symbiont.triton.open_inference import model_config_pb2
from symbiont.triton.open_inference import open_inference_pb2 as pb

PLATFORM = "symbiont"
# Far more than any model has; which ones it has is known later.
MAX_INPUTS = 1024
PRIORITY, TIMEOUT, MARK_LAST = "priority", "timeout", "triton_enable_empty_final_response"
# KServe's client has neither unsigned numbers nor fractions.
_WHOLE, _FRACTION = ("uint64_param", "int64_param"), ("double_param", "string_param")
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    PRIORITY: _WHOLE,
    TIMEOUT: ("int64_param",),
    "routing_key": ("string_param",),
    "threshold": _FRACTION,
    "top_k": ("int64_param",),
    "offset_unit": ("string_param",),
    MARK_LAST: ("bool_param",),
}
# KServe's client says by itself how long raw contents are, which they show anyway.
_INPUT = {"binary_data_size": ("int64_param",)}
_CLASSIFICATION = {"classification": ("int64_param",)}
_CONTENTS = {
    tensors.BYTES: "bytes_contents",
    tensors.BOOL: "bool_contents",
    tensors.INT32: "int_contents",
    tensors.INT64: "int64_contents",
    tensors.FP32: "fp32_contents",
    tensors.FP64: "fp64_contents",
}
_TYPES = {
    tensors.BYTES: model_config_pb2.TYPE_STRING,
    tensors.BOOL: model_config_pb2.TYPE_BOOL,
    tensors.INT32: model_config_pb2.TYPE_INT32,
    tensors.FP32: model_config_pb2.TYPE_FP32,
    tensors.FP64: model_config_pb2.TYPE_FP64,
}


def infer_call_from_proto(request: pb.ModelInferRequest, limits: Limits) -> InferCall:
    """Reads a ModelInferRequest; InvalidArgument names what is wrong, before any work is done for the call."""
    reference = parse_open_name(request.model_name, request.model_version)
    check_parameters("parameters", request.parameters, _PARAMETERS)
    wanted = [_requested_output(output) for output in request.outputs]
    given = frozenset(OPTIONS).intersection(request.parameters)
    return InferCall(reference, _inputs(request, limits.instances), wanted, _options(request.parameters), given)


def timeout_from_proto(request: pb.ModelInferRequest) -> float | None:
    """Returns the seconds that the parameter `timeout` allows; None when it is absent or 0."""
    if TIMEOUT not in request.parameters:
        return None
    check_parameters("parameters", {TIMEOUT: request.parameters[TIMEOUT]}, _PARAMETERS)
    microseconds = request.parameters[TIMEOUT].int64_param
    if microseconds < 0:
        raise InvalidArgument("parameters.timeout", f"{microseconds} is negative")
    return float(microseconds) / 1e6 or None


def infer_answer_to_proto(request: pb.ModelInferRequest, answer: InferAnswer) -> pb.ModelInferResponse:
    """Makes a ModelInferResponse, in raw contents when the inputs were raw."""
    response = pb.ModelInferResponse(
        model_name=request.model_name, model_version=answer.version.open_name[1], id=request.id
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
    """Makes a ModelMetadataResponse of what the model takes and gives."""
    response = pb.ModelMetadataResponse(name=name, platform=PLATFORM)
    if version := served.version.open_name[1]:
        response.versions.append(version)
    for spec in inputs_of(served.bundle):
        response.inputs.add(name=spec.name, datatype=spec.datatypes[0], shape=spec.shape)
    for spec in outputs_of(served.bundle):
        response.outputs.add(name=spec.name, datatype=spec.datatypes[0], shape=spec.shape)
    return response


def config_to_proto(name: str, served: Served) -> pb.ModelConfigResponse:
    """Makes a ModelConfigResponse with names, types and shapes, and nothing that the model does not have.

    The shapes include the rows, so `max_batch_size` is 0: Triton's word for that. Its parameters name the task, the
    digests, and the labels as a JSON list.
    """
    response = pb.ModelConfigResponse()
    config = response.config
    config.name, config.platform, config.max_batch_size = name, PLATFORM, 0
    for spec in inputs_of(served.bundle):
        config.input.add(name=spec.name, data_type=_TYPES[spec.datatypes[0]], dims=spec.shape, optional=True)
    for spec in outputs_of(served.bundle):
        config.output.add(name=spec.name, data_type=_TYPES[spec.datatypes[0]], dims=spec.shape)
    labels = json.dumps(served.bundle.labels, ensure_ascii=False)
    facts = {"task": served.bundle.head.kind, "labels": labels, **_digests(served.version)}
    for key, value in facts.items():
        config.parameters[key].string_value = value
    return response


def statistics_to_proto(records: Sequence[Record]) -> pb.ModelStatisticsResponse:
    """Makes a ModelStatisticsResponse. What is not measured (queue, cache, batches) is left out."""
    response = pb.ModelStatisticsResponse()
    for record in records:
        entry = response.model_stats.add(
            name=record.model,
            version=record.version,
            last_inference=record.last_ms,
            inference_count=record.rows,
            # Each call that Triton answered was one request to it.
            execution_count=record.sums["compute_infer"].count if "compute_infer" in record.sums else 0,
        )
        for name, value in record.sums.items():
            part = getattr(entry.inference_stats, name)
            part.count, part.ns = value.count, value.ns
    return response


def index_to_proto(models: Sequence[tuple[Alias, str]], ready_only: bool) -> pb.RepositoryIndexResponse:
    """Makes a RepositoryIndexResponse of aliases, each with the reason for which it is not ready, or an empty one."""
    response = pb.RepositoryIndexResponse()
    listed = sorted((a.model, open_name(a.model, a.alias), a.version.number, reason) for a, reason in models)
    for _, name, version, reason in listed:
        if not (reason and ready_only):
            state = "UNAVAILABLE" if reason else "READY"
            response.models.add(name=name, version=str(version), state=state, reason=reason)
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


def check_parameters(where: str, parameters: Mapping[str, Any], known: Mapping[str, tuple[str, ...]]) -> None:
    """Refuses parameters that are unknown or of another kind than `known` says."""
    for name, value in parameters.items():
        kinds = known.get(name)
        if kinds is None:
            problem = f"there is no such parameter; there are {', '.join(known)}" if known else "none is taken"
            raise InvalidArgument(f"{where}[{name[:100]!r}]", problem)
        if value.WhichOneof("parameter_choice") not in kinds:
            raise InvalidArgument(f"{where}.{name}", f"it must be given as {' or '.join(kinds)}")


def _options(parameters: Mapping[str, Any]) -> PredictCall:
    """Reads the parameters, which have passed their checks of name and kind."""
    values = {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in parameters.items()}
    key, priority = values.get("routing_key", ""), values.get(PRIORITY, 0)
    check_key("parameters.routing_key", key)
    if priority < 0:
        raise InvalidArgument("parameters.priority", f"{priority} is negative")
    unit = values.get("offset_unit", OffsetUnit.CODE_POINT.name.lower())
    if unit not in _UNITS:
        raise InvalidArgument("parameters.offset_unit", f"{unit[:20]!r} is none of {', '.join(_UNITS)}")
    return PredictCall(
        "",
        [],
        values.get("top_k", 0),
        _fraction(values["threshold"]) if "threshold" in values else None,
        _UNITS[unit],
        key,
        # As in Triton, 1 is the most urgent and 0 leaves it to the service.
        Priority.INTERACTIVE if priority <= 1 else Priority.BATCH,
    )


_UNITS = {unit.name.lower(): unit for unit in OffsetUnit}


def _fraction(value: float | str) -> float:
    try:
        return float(value)
    except ValueError as exc:
        raise InvalidArgument("parameters.threshold", "it is not a number") from exc


def _requested_output(output: Any) -> RequestedOutput:
    name = place(output.name, "outputs") if output.name else "outputs"
    check_parameters(name, output.parameters, _CLASSIFICATION)
    if "classification" not in output.parameters:
        return RequestedOutput(output.name)
    classes = output.parameters["classification"].int64_param
    if classes < 1:
        raise InvalidArgument(name, f"classification: {classes} is not a number of classes, 1 or more")
    return RequestedOutput(output.name, classes)


def _inputs(request: pb.ModelInferRequest, max_rows: int) -> Sequence[Tensor]:
    raw = request.raw_input_contents
    if not request.inputs:
        raise InvalidArgument("inputs", "there are none", reason="BATCH_EMPTY")
    if len(request.inputs) > MAX_INPUTS:
        raise InvalidArgument("inputs", f"{len(request.inputs)} are given, no model has more than {MAX_INPUTS}")
    for given in request.inputs:
        tensors.check_header(given.name, given.datatype, given.shape, max_rows)
        # Shared memory is among those that are refused.
        check_parameters(place(given.name), given.parameters, _INPUT)
        if raw and given.contents.ListFields():
            problem = "it has typed contents beside raw_input_contents: give one of the two"
            raise InvalidArgument(place(given.name), problem)
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
        raise InvalidArgument(place(given.name), f"{given.datatype} stands in {field}, not in {', '.join(others)}")
    return tensors.from_elements(given.name, given.datatype, given.shape, getattr(given.contents, field))


def _digests(version: ModelVersion) -> Mapping[str, str]:
    digests = {
        "base_digest": version.base_digest,
        "tokenizer_digest": version.tokenizer_digest,
        "bundle_digest": version.bundle_digest,
    }
    if not version.number:
        return digests
    # It stands where no proto has a field.
    return {"model_version": current_view().leave(NAME, version.name), **digests}
