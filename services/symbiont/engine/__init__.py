"""What runs inside Triton: one frozen base, many bundles, and batches that mix them. Imports no gRPC.

Only `torch_runtime` and `lora` import torch, so that a client can share `wire` without it.
"""

import sys

# OpenVINO reports to a server of its maker that it is imported, and NNCF each call, from a process that they fork. Both
# do without where the package that does it cannot be imported; this module comes before any other of the engine.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
