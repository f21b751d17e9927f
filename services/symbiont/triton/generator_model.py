"""One language model as Triton sees it: a decoupled model, of the Python backend or of vLLM, carried inline.

Like a host, it is loaded by whoever needs it first, into a Triton that keeps no state.
"""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToJson
from tritonclient.grpc.model_config_pb2 import (  # type: ignore[import-untyped]
    DataType,
    ModelConfig,
    ModelInstanceGroup,
)

from symbiont.common.artifacts import absolute_root
from symbiont.common.errors import FailedPrecondition
from symbiont.engine.generation import wire
from symbiont.engine.generation.settings import GeneratorSettings

_TYPES = {
    "BYTES": DataType.TYPE_STRING,
    "BOOL": DataType.TYPE_BOOL,
    "FP32": DataType.TYPE_FP32,
    "INT32": DataType.TYPE_INT32,
    "INT64": DataType.TYPE_INT64,
    "UINT32": DataType.TYPE_UINT32,
}
_CODE = b"from symbiont.engine.generation.backend import TritonPythonModel\n\n__all__ = ['TritonPythonModel']\n"

# The tensors of Triton's vLLM backend, as its documentation names them; all but the text are optional.
TEXT_INPUT = "text_input"
STREAM = "stream"
SAMPLING_PARAMETERS = "sampling_parameters"
EXCLUDE_INPUT = "exclude_input_in_output"
RETURN_FINISH_REASON = "return_finish_reason"
RETURN_INPUT_TOKENS = "return_num_input_tokens"
RETURN_OUTPUT_TOKENS = "return_num_output_tokens"
TEXT_OUTPUT = "text_output"
FINISH_REASON = "finish_reason"
INPUT_TOKENS = "num_input_tokens"
OUTPUT_TOKENS = "num_output_tokens"
_VLLM_INPUTS = {
    TEXT_INPUT: "BYTES",
    STREAM: "BOOL",
    SAMPLING_PARAMETERS: "BYTES",
    EXCLUDE_INPUT: "BOOL",
    RETURN_FINISH_REASON: "BOOL",
    RETURN_INPUT_TOKENS: "BOOL",
    RETURN_OUTPUT_TOKENS: "BOOL",
}
_VLLM_OUTPUTS = {TEXT_OUTPUT: "BYTES", FINISH_REASON: "BYTES", INPUT_TOKENS: "UINT32", OUTPUT_TOKENS: "UINT32"}


def generator_name(base_digest: str) -> str:
    """Returns the name of the Triton model that generates with a base."""
    return f"generator-{base_digest[:12]}"


def generator_config(settings: GeneratorSettings) -> ModelConfig:
    """Returns the configuration of a model of the Python backend."""
    config = _decoupled(settings.base_digest, "python")
    for name, (kind, _, size) in wire.INPUTS.items():
        config.input.add(name=name, data_type=_TYPES[kind], dims=[size], optional=True)
    for name, (kind, _, size) in wire.OUTPUTS.items():
        config.output.add(name=name, data_type=_TYPES[kind], dims=[size])
    # The engine chooses its device itself, so Triton's own placement stays out of it.
    config.instance_group.add(kind=ModelInstanceGroup.Kind.KIND_CPU, count=1)
    for name, value in settings.to_parameters().items():
        config.parameters[name].string_value = value
    return config


def generator_files() -> dict[str, bytes]:
    """Returns the files of a model of the Python backend; the code is the installed package's."""
    return {"file:1/model.py": _CODE}


def vllm_config(settings: GeneratorSettings) -> ModelConfig:
    """Returns the configuration of a model of Triton's vLLM backend."""
    config = _decoupled(settings.base_digest, "vllm")
    for name, kind in _VLLM_INPUTS.items():
        config.input.add(name=name, data_type=_TYPES[kind], dims=[1], optional=name != TEXT_INPUT)
    for name, kind in _VLLM_OUTPUTS.items():
        config.output.add(name=name, data_type=_TYPES[kind], dims=[-1])
    # vLLM places the model itself.
    config.instance_group.add(kind=ModelInstanceGroup.Kind.KIND_MODEL, count=1)
    return config


def vllm_files(settings: GeneratorSettings, tokenizer_digest: str, engine_args: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the files of a model of the vLLM backend: the arguments of its engine.

    Args:
        engine_args: more of vLLM's AsyncEngineArgs, and changes to those given here.

    Raises:
        FailedPrecondition: the artifacts lie in no folder that vLLM could read.
    """
    root = absolute_root(settings.artifact_root)
    if isinstance(root, str):
        raise FailedPrecondition(f"vLLM reads from a folder, not from {root}: set host_artifact_root to one")
    own = {
        "model": str(root / "bases" / settings.base_digest),
        "tokenizer": str(root / "tokenizers" / tokenizer_digest),
        "max_num_seqs": settings.max_sequences,
    }
    return {"file:1/model.json": json.dumps({**own, **engine_args}).encode()}


def config_json(config: ModelConfig) -> str:
    """Returns a configuration as the repository API takes it."""
    text: str = MessageToJson(config, preserving_proto_field_name=True)
    return text


def _decoupled(base_digest: str, backend: str) -> ModelConfig:
    config = ModelConfig(name=generator_name(base_digest), backend=backend, max_batch_size=0)
    config.model_transaction_policy.decoupled = True
    return config
