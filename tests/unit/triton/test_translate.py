import pytest
from tritonclient.utils import InferenceServerException

from symbiont.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    IntegrityError,
    InvalidArgument,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine import wire
from symbiont.triton.translate import HostNotLoaded, translate


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        ("INTERNAL", wire.encode_error(IntegrityError("bundles/x: flipped")), IntegrityError),
        ("NOT_FOUND", "Request for unknown model: 'host-1' is not found", HostNotLoaded),
        ("UNAVAILABLE", "Request for unknown model: 'host-1' has no available versions", HostNotLoaded),
        ("INTERNAL", "Stub process 'host-1_0_0' is not healthy.", HostNotLoaded),
        ("INVALID_ARGUMENT", "load failed for model 'host-1': version 1 is at UNAVAILABLE state", FailedPrecondition),
        ("UNAVAILABLE", "Exceeds maximum queue size", ResourceExhausted),
        ("UNAVAILABLE", "Request timeout expired", DeadlineExceeded),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded),
        ("UNAVAILABLE", "Socket closed", Unavailable),
        ("INVALID_ARGUMENT", "unexpected inference input", InvalidArgument),
        ("INTERNAL", "", SymbiontError),
    ],
)
def test_each_failure_has_its_error(status, text, kind):
    error = translate(InferenceServerException(text, status=f"StatusCode.{status}"), "127.0.0.1:1")
    assert type(error) is kind


def test_a_dead_process_is_told_from_a_missing_host():
    for text, broken in (("Stub process 'x' is not healthy.", True), ("Request for unknown model: 'x'", False)):
        error = translate(InferenceServerException(text, status="StatusCode.INTERNAL"), "127.0.0.1:1")
        assert isinstance(error, HostNotLoaded)
        assert error.broken is broken


def test_a_lost_connection_names_triton():
    error = translate(InferenceServerException("Socket closed", status="StatusCode.UNAVAILABLE"), "127.0.0.1:1")
    assert "Triton at 127.0.0.1:1" in str(error)


def test_tracebacks_stay_in_the_log():
    error = translate(InferenceServerException("load failed for model 'x'\n\nAt:\n  /secret/path.py"), "127.0.0.1:1")
    assert "secret" not in str(error)
