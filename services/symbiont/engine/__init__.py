"""What runs inside Triton: one frozen base, many bundles, and batches that mix them. Imports no gRPC.

Only `torch_runtime` and `lora` import torch, so that a client can share `wire` without it.
"""
