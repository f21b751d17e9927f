"""S3, and what speaks its protocol, as a place for artifacts.

Keys and endpoint come from where users of S3 have them: the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL` (or `AWS_ENDPOINT_URL_S3`) and `AWS_REGION`, the files in `~/.aws`, or the role
of the machine.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, ClassVar

from typing_extensions import override

from symbiont.common.artifacts.objects import Objects
from symbiont.common.errors import FailedPrecondition, SymbiontError, Unavailable

ACCESS = "ARTIFACT_STORE_ACCESS"
# A request is tried twice by botocore and, where the connection broke, all over again by s3fs: an endpoint that lets
# nobody connect is given up after 12 s, one that then says nothing after 80 s.
_CONNECT_S, _READ_S, _REQUEST_TRIES, _TRIES = 3, 20, 2, 2
# Parts of large objects, and how many are in memory at a time.
_PART_BYTES, _PARTS_AT_ONCE, _MOST_PARTS = 16 << 20, 4, 9_000
_CONNECTIONS = 16
# Codes of answers; those that are numbers come where an answer has no body.
_WRONG_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301"}
_WRONG_KEYS = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}


class S3Objects(Objects):
    """Objects of one bucket."""

    small: ClassVar[dict[str, Any]] = {"max_concurrency": 1}

    def __init__(self, filesystem: Any, place: str, endpoint: str) -> None:
        super().__init__(filesystem, place, f"s3://{place}")
        self._bucket, _, self._prefix = place.partition("/")
        self._endpoint = endpoint
        self._has_bucket = False

    @override
    def drop_uploads(self, older_than_seconds: float) -> int:
        prefix = f"{self._prefix}/" if self._prefix else ""
        # Not every store lists them, and not every key may.
        with suppress(FailedPrecondition), self._telling("uploads in parts"):
            listed = self._filesystem.call_s3("list_multipart_uploads", Bucket=self._bucket, Prefix=prefix)
            left = [upload for upload in listed.get("Uploads", ()) if _age(upload["Initiated"]) > older_than_seconds]
            for upload in left:
                named = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
                with suppress(FileNotFoundError):
                    self._filesystem.call_s3("abort_multipart_upload", Bucket=self._bucket, **named)
            return len(left)
        return 0

    @override
    def _transfer(self, size: int) -> dict[str, Any]:
        return {"chunksize": max(_PART_BYTES, -(-size // _MOST_PARTS)), "max_concurrency": _PARTS_AT_ONCE}

    @override
    @contextmanager
    def _telling(self, key: str) -> Iterator[None]:
        with super()._telling(key):
            self._look_for_bucket()
            yield

    def _look_for_bucket(self) -> None:
        """Looks once: without its bucket, a store may call every object missing, or itself broken."""
        if self._has_bucket:
            return
        # Whoever may not ask this may still do what comes next, which tells it better.
        with suppress(PermissionError):
            try:
                self._filesystem.call_s3("head_bucket", Bucket=self._bucket)
            except FileNotFoundError as exc:
                raise self._without_bucket() from exc
        self._has_bucket = True

    @override
    def _told(self, key: str, error: Exception) -> SymbiontError | None:
        code, status = _answer(error)
        said = f"{code}: {error}" if code else str(error)
        if code == "NoSuchBucket":
            return self._without_bucket()
        if isinstance(error, FileNotFoundError):
            return self._missing(key)
        if code in _WRONG_REGION:
            problem = f"{self._endpoint} does not serve {self.url} from this region ({said}); set AWS_REGION to its own"
            return FailedPrecondition(problem, reason=ACCESS)
        if _is_refusal(error, code, status):
            return self._refused(said)
        if 400 <= status < 500 and status not in (408, 429):
            return FailedPrecondition(f"{self._endpoint} does not take a request for {self.url}/{key} ({said})")
        if _is_silence(error):
            return Unavailable(f"the artifact store {self.url} at {self._endpoint} does not answer ({said}); try again")
        return None

    @override
    def _is_taken(self, error: OSError) -> bool:
        # 409: another is creating it at this moment.
        return super()._is_taken(error) or _answer(error)[1] in (409, 412)

    def _without_bucket(self) -> FailedPrecondition:
        problem = f"{self._endpoint} has no bucket {self._bucket}: make it, or set SYMBIONT_ARTIFACT_ROOT to another"
        return FailedPrecondition(f"{problem}, or AWS_ENDPOINT_URL to where it is", reason=ACCESS)

    def _refused(self, said: str) -> FailedPrecondition:
        advice = (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that may list, read, write and delete there, and "
            "AWS_ENDPOINT_URL to the server that knows it"
        )
        return FailedPrecondition(f"{self._endpoint} refuses access to {self.url} ({said}); {advice}", reason=ACCESS)


def open_s3(place: str) -> S3Objects:
    """Returns the objects of `bucket/prefix`; asks nothing yet.

    Raises:
        FailedPrecondition: s3fs is not installed.
    """
    try:
        from s3fs import S3FileSystem  # type: ignore[import-untyped]
    except ImportError as exc:
        problem = f"s3://{place} needs {exc.name or 's3fs'}, which is not installed here: pip install 'symbiont[s3]'"
        raise FailedPrecondition(problem) from exc
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ("us-east-1" if endpoint else None)
    filesystem = S3FileSystem(
        endpoint_url=endpoint,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs={
            "connect_timeout": _CONNECT_S,
            "read_timeout": _READ_S,
            "retries": {"mode": "standard", "total_max_attempts": _REQUEST_TRIES},
            "max_pool_connections": _CONNECTIONS,
        },
        default_block_size=_PART_BYTES,
        max_concurrency=_PARTS_AT_ONCE,
        # Others write too.
        use_listings_cache=False,
        # Another would have the keys of its own time.
        skip_instance_cache=True,
    )
    filesystem.retries = _TRIES
    return S3Objects(filesystem, place, endpoint or "AWS")


def _answer(error: Exception) -> tuple[str, int]:
    """Returns the code and the HTTP status that a store gave; empty and 0 where it gave none."""
    for told in (error, error.__cause__):
        response = getattr(told, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(response.get("Error", {}).get("Code", "")), int(status)
    return "", 0


def _is_refusal(error: Exception, code: str, status: int) -> bool:
    """Whether a store, or the library before it asked, found the keys wanting."""
    from botocore.exceptions import (  # type: ignore[import-untyped]
        NoAuthTokenError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    without = (NoAuthTokenError, NoCredentialsError, PartialCredentialsError)
    return isinstance(error, (PermissionError, *without)) or status in (401, 403) or code in _WRONG_KEYS


def _is_silence(error: Exception) -> bool:
    """Whether an error is one of those that a network or a store in trouble causes."""
    from aiohttp import ClientError
    from botocore.exceptions import BotoCoreError
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

    return isinstance(error, OSError | BotoCoreError | ResponseParserError | ClientError)


def _age(begun: datetime) -> float:
    return time.time() - begun.timestamp()
