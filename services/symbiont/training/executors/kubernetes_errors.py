"""What an API server says of a request that it does not carry out, as errors of ours."""

import json
import re
from collections.abc import Mapping
from typing import Any

from symbiont.common.errors import FailedPrecondition, SymbiontError, Unavailable

FORBIDDEN = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"')


def unreachable(address: str, why: str) -> SymbiontError:
    """Returns the error of a server that did not answer."""
    lines = why.splitlines() or ["nothing"]
    return Unavailable(
        f"the Kubernetes API at {address} does not answer ({lines[-1]}): check that this is its address, that it can "
        "be reached from here, and that its certificate is of the authority that the configuration names",
        reason="KUBERNETES_UNREACHABLE",
    )


def refused(error: Any, address: str, namespace: str, doing: str) -> SymbiontError:
    """Returns the error that stands for an answer.

    What someone can put right without a change of the job is Unavailable: jobs wait for it, and none fails.

    Args:
        error: the client's ApiException.
        address: of the server.
        namespace: of the workers.
        doing: what was asked for: a verb and a resource.
    """
    said = _message(error)
    match error.status:
        case 401:
            return Unavailable(
                f"the Kubernetes API at {address} does not know who asks: the token or the certificate is missing, has "
                "expired, or is of another cluster",
                reason="KUBERNETES_UNAUTHENTICATED",
            )
        case 403 if found := FORBIDDEN.search(said):
            return Unavailable(
                f"the role of the training service lacks the verb {found['verb']} for {found['resource']} in the "
                f"namespace {namespace}: apply k8s/components/kubernetes-executor. The API says: {said}",
                reason="KUBERNETES_FORBIDDEN",
            )
        case 404:
            return Unavailable(
                f"the Kubernetes API at {address} cannot {doing} in the namespace {namespace}: either there is no such "
                f"namespace, or the operator that knows them is not installed. The API says: {said}",
                reason="KUBERNETES_KIND_MISSING",
            )
        case 400 | 413 | 422:
            return FailedPrecondition(
                f"the Kubernetes API at {address} does not {doing}: {said}; check what the file named by "
                "SYMBIONT_KUBERNETES_POD_TEMPLATE adds, and the other settings of workers",
                reason="KUBERNETES_INVALID",
            )
    return Unavailable(
        f"the Kubernetes API at {address} answers {error.status} when asked to {doing}: {said}",
        reason="KUBERNETES_ANSWER",
    )


def says(error: Any, status: int, reason: str, name: str = "") -> bool:
    """Whether the API server itself gives that reason, and of that object.

    A proxy says 404 as well, and so does the server of a kind that it does not know.
    """
    parsed = _parsed(error)
    if error.status != status or parsed.get("reason") != reason:
        return False
    return not name or (parsed.get("details") or {}).get("name") == name


def _parsed(error: Any) -> Mapping[str, Any]:
    """Returns the Status object in the answer; empty where there is none."""
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) and body.get("kind") == "Status" else {}


def _message(error: Any) -> str:
    return str(_parsed(error).get("message") or (error.body or error.reason or "").strip()[:300] or "nothing")
