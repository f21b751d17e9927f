"""One error hierarchy for every domain module; it knows nothing of gRPC.

`common.calls` maps each class to a status code: a domain module raises what went wrong, never how it travels.
"""

import re
from typing import ClassVar

# From the first part in brackets that is not a position.
_CHOSEN_KEY = re.compile(r"\[(?!\d+\]).*", re.DOTALL)


class SymbiontError(Exception):
    """An expected failure, safe to show to the caller.

    Args:
        message: what was wrong and what to do about it.
        reason: UPPER_SNAKE word that a program can match; defaults to the class's own.
        field: path of the request field at fault, when there is one (`spec.lora.rank`).
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None, field: str | None = None) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = reason or self.default_reason
        self.field = field

    @property
    def place(self) -> str | None:
        """The field at fault as a log may have it: without a key that the caller chose, and what follows one."""
        return _CHOSEN_KEY.sub("[*]", self.field) if self.field else None


class InvalidArgument(SymbiontError):
    """The request is wrong whatever the state of the system."""

    default_reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, message: str, *, reason: str | None = None) -> None:
        super().__init__(message, reason=reason, field=field)


class Unauthenticated(SymbiontError):
    """The caller does not show who it is, or what it shows is not valid."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(SymbiontError):
    """The caller is known, and may not do this."""

    default_reason = "PERMISSION_DENIED"


class NotFound(SymbiontError):
    """A named resource does not exist."""

    default_reason = "NOT_FOUND"


class AlreadyExists(SymbiontError):
    """A resource or a request id is taken by something else."""

    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(SymbiontError):
    """The request is fine, the state of the resource is not."""

    default_reason = "FAILED_PRECONDITION"


class TenantShredded(FailedPrecondition):
    """The keys of whose this is were destroyed: nobody can read it, or write for that tenant, any more."""

    default_reason = "TENANT_SHREDDED"


class ResourceExhausted(SymbiontError):
    """A limit or a queue is full; the caller may try later: after `retry_after_s` seconds, where that is known."""

    default_reason = "RESOURCE_EXHAUSTED"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after_s = retry_after_s


class Unavailable(SymbiontError):
    """A part that this call needs cannot be reached now; the same call may succeed later."""

    default_reason = "UNAVAILABLE"


class DeadlineExceeded(SymbiontError):
    """The call's time ran out before the work was done."""

    default_reason = "DEADLINE_EXCEEDED"


class Unimplemented(SymbiontError):
    """A method of a foreign protocol that this service does not have."""

    default_reason = "UNIMPLEMENTED"


class IntegrityError(SymbiontError):
    """Stored bytes do not match their digest, or do not fit the place they are meant for."""

    default_reason = "INTEGRITY"
