"""Text generation inside Triton: one language model, many sequences that step together. Imports no gRPC.

Only `torch_model` and `sampling` import torch, so that a client can share `wire` and `settings` without it.
"""
