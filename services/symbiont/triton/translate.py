"""Turns what tritonclient raises into this project's errors, in one place."""

from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from symbiont.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine import wire

# Triton tells these apart by their texts alone (core/src/infer_request.cc, dynamic_batch_scheduler.cc, pb_stub).
_NOT_LOADED = ("unknown model", "is not ready", "has no available versions")
_BROKEN = ("is not healthy", "stub process")
_LOAD_FAILED = "load failed"
_QUEUE_FULL = "exceeds maximum queue size"
_QUEUE_TIMEOUT = "timeout expired"


class HostNotLoaded(Unavailable):
    """Triton runs, but not this host: it restarted, or, where `broken`, the host's process died."""

    default_reason = "HOST_NOT_LOADED"

    def __init__(self, message: str, *, broken: bool) -> None:
        super().__init__(message)
        self.broken = broken


def translate(error: InferenceServerException, url: str) -> SymbiontError:
    """Returns the error that a caller of the host should see."""
    text = str(error.message() or "")
    own = wire.decode_error(text)
    if own is not None:
        return own
    # A Python traceback may follow; Triton's log has it too.
    text = text.split("\n", 1)[0]
    lowered = text.lower()
    if _LOAD_FAILED in lowered:
        return FailedPrecondition(f"Triton at {url} cannot load the host: {text}", reason="HOST_NOT_LOADABLE")
    if any(part in lowered for part in _BROKEN):
        return HostNotLoaded(f"Triton at {url}: {text}", broken=True)
    if any(part in lowered for part in _NOT_LOADED):
        return HostNotLoaded(f"Triton at {url}: {text}", broken=False)
    if _QUEUE_FULL in lowered:
        return ResourceExhausted(f"Triton at {url} is overloaded: {text}")
    if _QUEUE_TIMEOUT in lowered:
        return DeadlineExceeded(f"the request's time ran out in Triton's queue: {text}")
    match str(error.status()):
        case "StatusCode.DEADLINE_EXCEEDED":
            return DeadlineExceeded(f"Triton at {url} did not answer in time")
        case "StatusCode.INVALID_ARGUMENT":
            return InvalidArgument("rows", f"refused by Triton: {text}")
        case "StatusCode.UNAVAILABLE" | "StatusCode.CANCELLED":
            return Unavailable(f"Triton at {url} cannot be reached: {text}")
    return SymbiontError(f"Triton at {url} failed: {text}")
