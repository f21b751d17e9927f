"""What products of matrices are computed in while a network trains."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

BF16 = "PRECISION_BF16"
# What the kernel calls the instructions of CPUs that multiply brain floats.
NATIVE = {"amx_bf16", "avx512_bf16"}
_CPU = Path("/proc/cpuinfo")


def rounded(precision: str, device: str) -> AbstractContextManager[object]:
    """Returns the context in which a forward pass is computed; weights and gradients stay fp32."""
    return torch.autocast(device, dtype=torch.bfloat16) if precision == BF16 else nullcontext()


def keep_inputs(base: torch.nn.Module) -> None:
    """Lets PEFT's layers take brain floats as they come: it makes fp32 of them, which autocast then rounds again."""
    for module in base.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False  # type: ignore[assignment]


def is_native() -> bool:
    """Says whether this machine computes brain floats itself, and not by way of others."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    flags = _CPU.read_text(encoding="utf-8", errors="replace") if _CPU.is_file() else ""
    return any(name in flags for name in NATIVE)
