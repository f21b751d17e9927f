"""What a host on CPU computes in, by what it was told and what its CPU can do."""

import logging
import re
from pathlib import Path
from typing import NamedTuple

import openvino as ov  # type: ignore[import-untyped]

from symbiont.engine.runtime import Arithmetic
from symbiont.engine.settings import Precision

# Flags in /proc/cpuinfo of instructions that multiply bytes and add up the products in one go: x86's, then ARM's.
_INT8_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"}

_LOG = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """The arithmetic of the base itself, and whether bundles that allow it are computed in int8."""

    arithmetic: Arithmetic
    takes_int8: bool


def choose(precision: Precision) -> Chosen:
    """Returns what a precision means on this CPU."""
    match precision:
        case "auto":
            return Chosen("bf16" if _has_bf16() else "fp32", has_int8_dot_products(_cpuinfo()))
        case "bf16" if not _has_bf16():
            _LOG.warning("this CPU has no bf16 instructions; OpenVINO computes in fp32")
            return Chosen("fp32", takes_int8=False)
        case "bf16":
            return Chosen("bf16", takes_int8=False)
        case _:
            return Chosen("fp32", takes_int8=precision == "int8")


def has_int8_dot_products(cpuinfo: str) -> bool:
    """Whether int8 can be faster than fp32, from the text of /proc/cpuinfo: without these it was measured slower."""
    flags = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return any(not _INT8_DOT_PRODUCTS.isdisjoint(line.split()) for line in flags)


def _has_bf16() -> bool:
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
