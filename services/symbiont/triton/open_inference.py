"""The messages and the servicer of the Open Inference Protocol (`inference.GRPCInferenceService`).

Generated code that tritonclient ships. Whoever serves or speaks the protocol takes it from here: a second copy of
the proto cannot be loaded beside tritonclient's own, because both would register the package `inference`.
"""

from tritonclient.grpc import (  # type: ignore[import-untyped]
    model_config_pb2,
)
from tritonclient.grpc import service_pb2 as open_inference_pb2
from tritonclient.grpc import service_pb2_grpc as open_inference_pb2_grpc

__all__ = ["model_config_pb2", "open_inference_pb2", "open_inference_pb2_grpc"]
