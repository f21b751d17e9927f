"""Ray's Jobs API over HTTP: what the `ray` executor asks of a cluster, with its errors as ours.

The shapes are those of Ray 2.60: the Jobs API under `/api/jobs/`, and one path of the State API, `/api/v0/logs/file`,
because the log of the Jobs API comes whole, in one JSON string, and not at all while it ends within a character.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from symbiont.common.errors import SymbiontError, Unavailable

T = TypeVar("T")

# Seconds. A submission waits on the head for its agent, up to 10 s.
TIMEOUT = httpx.Timeout(30, connect=5)
PENDING, RUNNING = "PENDING", "RUNNING"


@dataclass(frozen=True)
class RayJob:
    """What Ray knows of a job that was submitted."""

    submission: str
    # PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
    status: str
    # Ray's own words on how it stands.
    message: str
    metadata: Mapping[str, str]
    # Id of the node that runs the entrypoint; empty before it has run.
    node: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status not in (PENDING, RUNNING)


class RayJobs:
    """The jobs of one cluster. May be used from several threads."""

    def __init__(self, address: str, token: str) -> None:
        """`address` is the URL of the dashboard; an empty token is for a cluster that asks for none."""
        self.address = address.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=self.address, headers=headers, timeout=TIMEOUT)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def submit(self, submission: str, job: Mapping[str, Any]) -> None:
        """Submits a job under a name; where the name is taken, nothing changes."""
        with self._call("POST", "/api/jobs/", json={**job, "submission_id": submission}) as response:
            # A name that is taken is a 500 with a stack trace: whether the job is there says it better than the words.
            if not response.is_success and self.find(submission) is None:
                raise self._strange(response)

    def find(self, submission: str) -> RayJob | None:
        """Returns a job, None where the cluster knows none of that name."""
        with self._call("GET", f"/api/jobs/{submission}") as response:
            return None if _is_missing(response) else self._read(response, _job)

    def all(self) -> list[RayJob]:
        """Returns every job that was submitted, ended or not."""
        with self._call("GET", "/api/jobs/") as response:
            # Programs that connected by themselves are listed too; they have no such id.
            return self._read(response, lambda jobs: [_job(job) for job in jobs if job["submission_id"]])

    def stop(self, submission: str) -> None:
        """Stops a job: SIGTERM, and SIGKILL after the job's RAY_JOB_STOP_WAIT_TIME_S. One that is gone is no error."""
        with self._call("POST", f"/api/jobs/{submission}/stop") as response:
            if not response.is_success and not _is_missing(response):
                raise self._strange(response)

    @contextmanager
    def log(self, job: RayJob) -> Iterator[Iterator[bytes]]:
        """Opens what a job has printed, in pieces; empty where that is not, or no longer, to be had."""
        wanted = {"node_id": job.node, "filename": f"job-driver-{job.submission}.log", "lines": "-1"}
        with self._call("GET", "/api/v0/logs/file", params=wanted) as response:
            if not response.is_success and not _is_without_log(response):
                raise self._strange(response)
            yield response.iter_bytes() if response.is_success else iter(())

    @contextmanager
    def _call(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        with self._translated(), self._client.stream(method, path, **options) as response:
            if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                raise self._refused(response)
            # What succeeds may be large, a log say; what fails is words.
            if not response.is_success:
                response.read()
            yield response

    def _read(self, response: httpx.Response, parse: Callable[[Any], T]) -> T:
        response.read()
        try:
            return parse(response.raise_for_status().json())
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as exc:
            raise self._strange(response) from exc

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as exc:
            raise Unavailable(
                f"Ray does not answer at {self.address} ({exc or type(exc).__name__}): check SYMBIONT_RAY_ADDRESS, "
                "that the cluster's head runs, and that its dashboard listens on more than its own loopback",
                reason="RAY_UNREACHABLE",
            ) from exc

    def _refused(self, response: httpx.Response) -> SymbiontError:
        return Unavailable(
            f"Ray at {self.address} refuses the token ({response.status_code}): set SYMBIONT_RAY_TOKEN to the "
            "RAY_AUTH_TOKEN that the cluster was started with",
            reason="RAY_TOKEN_REFUSED",
        )

    def _strange(self, response: httpx.Response) -> SymbiontError:
        lines = [line.strip() for line in response.text.splitlines() if len(line.strip()) > 1]
        return Unavailable(
            f"Ray at {self.address} answers {response.status_code} to {response.request.url.path}: "
            f"{lines[-1][:300] if lines else 'nothing'}",
            reason="RAY_ANSWER",
        )


def _is_missing(response: httpx.Response) -> bool:
    # Any other server, at an address mistaken for Ray's, answers 404 too: only Ray's own words say that a job is gone.
    return response.status_code == httpx.codes.NOT_FOUND and "does not exist" in response.text


def _is_without_log(response: httpx.Response) -> bool:
    # The file is not there yet, or its node is gone.
    return "file is not found" in response.text or "doesn't exist" in response.text


def _job(entry: Mapping[str, Any]) -> RayJob:
    return RayJob(
        submission=entry["submission_id"],
        status=entry["status"],
        message=entry.get("message") or "",
        metadata=entry.get("metadata") or {},
        node=entry.get("driver_node_id") or "",
    )
