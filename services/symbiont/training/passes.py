"""What a worker shows with its reports: that the controller has launched it, for this job and this attempt.

A pass is a JWT (RFC 7519) under a key that controllers alone have. It reaches the worker with its spec, by a file of
the user's own or a variable, never on a command line, and no log has it.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import jwt

from symbiont.common.errors import FailedPrecondition, PermissionDenied, Unauthenticated
from symbiont.common.security.authority import write_own
from symbiont.training.types import WorkerReport

METADATA_KEY = "symbiont-worker-pass"
# Why a report is refused whose pass no controller takes: showing it again would not help.
REFUSED = "PASS_REFUSED"
_ALGORITHM = "HS256"
_AUDIENCE = "symbiont-worker"
LEAST_BYTES = 32


class Passes:
    """Signs passes, and holds reports against them."""

    def __init__(self, key: bytes, *, required: bool) -> None:
        """`required`: where it is not, nobody is asked."""
        self._key = key
        self._required = required

    def sign(self, job: str, attempt: int) -> str:
        """Returns the pass of an attempt."""
        claims = {"aud": _AUDIENCE, "sub": job, "attempt": attempt}
        return jwt.encode(claims, self._key, _ALGORITHM)

    def check(self, shown: str, report: WorkerReport) -> None:
        """Returns where a report is of the attempt that the pass is for.

        Raises:
            Unauthenticated: there is no pass, or no controller of this suite has signed it.
            PermissionDenied: it is another job's, or another attempt's.
        """
        if not self._required:
            return
        try:
            claims = jwt.decode(shown, self._key, [_ALGORITHM], audience=_AUDIENCE)
        except jwt.PyJWTError as exc:
            problem = "a report must show the pass that the worker was launched with"
            raise Unauthenticated(problem, reason=REFUSED) from exc
        if (claims.get("sub"), claims.get("attempt")) != (report.job, report.attempt):
            raise PermissionDenied(
                f"this pass is not for attempt {report.attempt} of jobs/{report.job}", reason="ANOTHER_ATTEMPTS_PASS"
            )


def read_key(named: Path | None, folder: Path) -> bytes:
    """Returns the key of passes: from the file named, else from one in `folder`, which is made where it is missing.

    Raises:
        FailedPrecondition: the file cannot be read, or is too short to be a key.
    """
    path = named or folder / "passes.key"
    if named is None:
        _make_once(path)
    try:
        key = path.read_bytes()
    except OSError as exc:
        raise FailedPrecondition(f"the key of workers' passes, {path}, cannot be read: {exc.strerror}") from exc
    if len(key) < LEAST_BYTES:
        raise FailedPrecondition(f"the key of workers' passes, {path}, must have at least {LEAST_BYTES} bytes")
    return key


def _make_once(path: Path) -> None:
    """Makes a key, unless there is one; who looks meanwhile sees none or a whole one."""
    made = path.with_name(f"{path.name}.{os.getpid()}")
    write_own(made, secrets.token_bytes(LEAST_BYTES))
    with suppress(FileExistsError):
        os.link(made, path)
    made.unlink()
