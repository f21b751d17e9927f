"""A customer's own layers, computed by OpenVINO on the CPU for every runtime, as all of a head is.

The file was checked when the bundle was read; see `bundle/own_module.py`.
"""

import threading
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import openvino as ov  # type: ignore[import-untyped]

from symbiont.common.errors import IntegrityError
from symbiont.engine.runtime import Array

# How far what a row gives may be from what it gives alone, as a part of the greatest, or of 1 where that is more.
TOLERANCE = 1e-4
_TRIED_ROWS = 5
_CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}


class OwnModule:
    """Takes [rows, inputs], returns [rows, outputs]. Safe to call from several threads."""

    def __init__(self, content: bytes, inputs: int) -> None:
        """Compiles the graph, and tries it.

        Raises:
            IntegrityError: it cannot be computed, or what it gives for a row depends on the rows beside it.
        """
        try:
            compiled = _core().compile_model(_core().read_model(BytesIO(content)), "CPU", _CONFIG)
            self._request: Any = compiled.create_infer_request()
            self._lock = threading.Lock()
            self._try(np.random.default_rng(0).normal(size=(_TRIED_ROWS, inputs)).astype(np.float32))
        except RuntimeError as exc:
            raise IntegrityError(f"the own module cannot be computed: {str(exc).splitlines()[0][:300]}") from exc

    def __call__(self, inputs: Array) -> Array:
        """Computes rows."""
        with self._lock:
            # Copied: the next call writes over it.
            return np.array(self._request.infer([np.ascontiguousarray(inputs)])[0], np.float32)

    def _try(self, rows: Array) -> None:
        together, alone = self(rows), np.concatenate([self(row[None]) for row in rows])
        worst = float(np.abs(together - alone).max())
        # Written so that NaN fails too.
        if not worst <= TOLERANCE * max(1.0, float(np.abs(alone).max())):
            raise IntegrityError("the own module gives a row something else beside other rows, or no number")


@cache
def _core() -> Any:
    return ov.Core()
