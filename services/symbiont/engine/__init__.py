"""What runs inside Triton: one frozen base, many bundles, and batches that mix them. Imports no gRPC.

torch is imported by the runtime of that name and by what converts a base to a graph: neither a client, which shares
`wire`, nor a host on CPU that finds the graph stored needs it.
"""

import sys

# OpenVINO reports to a server of its maker that it is imported, and NNCF each call, from a process that they fork. Both
# do without where the package that does it cannot be imported; this module comes before any other of the engine.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
