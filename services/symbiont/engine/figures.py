"""What a host says of itself: the bundles that it holds, what they cost, and what it did with them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class HostFigures:
    """A host at one moment; what is counted is counted since it began.

    Attributes:
        bundles: resident beside the base.
        bundle_bytes: of their adapters and heads, as fp32.
        loads: bundles that were loaded.
        failed_loads: bundles that could not be.
        evictions: bundles that made room for others.
        expired_rows: rows whose time ran out before they were computed.
        load_seconds: what the loads took, all together.
        slots: bundles that it keeps at most; it does not change.
    """

    bundles: int = 0
    bundle_bytes: int = 0
    loads: int = 0
    failed_loads: int = 0
    evictions: int = 0
    expired_rows: int = 0
    load_seconds: float = 0.0
    slots: int = 0


def size_of(part: Any) -> int:
    """Returns the bytes of all arrays in a part of a bundle, however they are nested in mappings and dataclasses."""
    if isinstance(part, np.ndarray):
        return part.nbytes
    if isinstance(part, Mapping):
        return sum(map(size_of, part.values()))
    if is_dataclass(part):
        return sum(size_of(getattr(part, field.name)) for field in fields(part))
    return 0
