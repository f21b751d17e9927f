"""Passes of workers: for one attempt at one job, and for nothing else."""

from pathlib import Path

import jwt
import pytest

from symbiont.common.errors import FailedPrecondition, PermissionDenied, Unauthenticated
from symbiont.training.passes import REFUSED, Passes, read_key
from symbiont.training.types import Heartbeat, WorkerReport

KEY = b"k" * 32
PASSES = Passes(KEY, required=True)


def report(job: str = "job-x", attempt: int = 2) -> WorkerReport:
    return WorkerReport(job, attempt, 0, Heartbeat())


def test_a_pass_is_for_one_attempt() -> None:
    PASSES.check(PASSES.sign("job-x", 2), report())
    for other in (report(attempt=1), report(attempt=3), report("job-y")):
        with pytest.raises(PermissionDenied, match="not for attempt"):
            PASSES.check(PASSES.sign("job-x", 2), other)


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "nonsense",
        Passes(b"o" * 32, required=True).sign("job-x", 2),
        jwt.encode({"aud": "elsewhere", "sub": "job-x", "attempt": 2}, KEY, "HS256"),
        jwt.encode({"aud": "symbiont-worker", "sub": "job-x", "attempt": 2}, None, "none"),
    ],
)
def test_who_shows_no_pass_of_a_controller_is_refused(shown: str) -> None:
    with pytest.raises(Unauthenticated, match="launched with") as caught:
        PASSES.check(shown, report())
    assert caught.value.reason == REFUSED


def test_without_security_nobody_is_asked() -> None:
    Passes(KEY, required=False).check("", report())


def test_the_key_is_made_once_and_read_by_its_user_alone(tmp_path: Path) -> None:
    made = read_key(None, tmp_path / "jobs")
    assert len(made) == 32
    assert read_key(None, tmp_path / "jobs") == made
    (file,) = (tmp_path / "jobs").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(FailedPrecondition, match="at least 32 bytes"):
        read_key(tmp_path / "short", tmp_path)
    with pytest.raises(FailedPrecondition, match="cannot be read"):
        read_key(tmp_path / "absent", tmp_path)
