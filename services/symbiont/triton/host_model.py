"""One host as Triton sees it: a model of the Python backend, described by typed messages and carried inline.

Triton starts with an empty repository; whoever needs a host loads it with this configuration, so Triton keeps no state.
"""

from google.protobuf.json_format import MessageToJson
from tritonclient.grpc.model_config_pb2 import (  # type: ignore[import-untyped]
    DataType,
    ModelConfig,
    ModelInstanceGroup,
)

from symbiont.engine import wire
from symbiont.engine.settings import HostSettings

# A request carries many rows, and is a batch of one. Triton's dynamic batcher stays out of it: joining those of several
# callers, its thread slept for half a second now and then while requests waited and the host had nothing to do.
MAX_BATCH_SIZE = 1

_INPUTS = {
    wire.INPUT_IDS: DataType.TYPE_INT32,
    wire.ROW_LENGTHS: DataType.TYPE_INT32,
    wire.BUNDLE_DIGEST: DataType.TYPE_STRING,
}
_OPTIONAL = {
    wire.SEGMENT_STARTS: DataType.TYPE_INT32,
    wire.TIME_LEFT: DataType.TYPE_INT32,
    wire.FEATURES: DataType.TYPE_FP32,
    wire.FEATURE_LENGTHS: DataType.TYPE_INT32,
}
_OUTPUTS = {
    wire.OUTPUT: DataType.TYPE_FP32,
    wire.OUTPUT_LENGTHS: DataType.TYPE_INT32,
    wire.ERRORS: DataType.TYPE_STRING,
    wire.TIMES: DataType.TYPE_INT32,
}
_CODE = b"from symbiont.engine.backend import TritonPythonModel\n\n__all__ = ['TritonPythonModel']\n"


def host_name(base_digest: str) -> str:
    """Returns the name of the Triton model that serves a base."""
    return f"host-{base_digest[:12]}"


def host_config(settings: HostSettings) -> ModelConfig:
    """Returns the model's configuration."""
    config = ModelConfig(name=host_name(settings.base_digest), backend="python", max_batch_size=MAX_BATCH_SIZE)
    for name, data_type in (_INPUTS | _OPTIONAL).items():
        config.input.add(name=name, data_type=data_type, dims=[-1], optional=name in _OPTIONAL)
    for name, data_type in _OUTPUTS.items():
        config.output.add(name=name, data_type=data_type, dims=[-1])
    # The engine chooses its device itself, so Triton's own placement stays out of it.
    config.instance_group.add(kind=ModelInstanceGroup.Kind.KIND_CPU, count=1)
    for name, value in settings.to_parameters().items():
        config.parameters[name].string_value = value
    return config


def host_config_json(settings: HostSettings) -> str:
    """Returns the configuration as the repository API takes it."""
    text: str = MessageToJson(host_config(settings), preserving_proto_field_name=True)
    return text


def host_files() -> dict[str, bytes]:
    """Returns the model's files as the repository API takes them; the code is the installed package's."""
    return {"file:1/model.py": _CODE}
