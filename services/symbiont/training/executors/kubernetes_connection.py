"""How the official Kubernetes client is loaded, and where it finds a cluster.

The client is an extra (`pip install 'symbiont[kubernetes]'`), loaded when an executor is made that needs it.
"""

import importlib
from pathlib import Path
from typing import Any

from symbiont.common.errors import FailedPrecondition

# Where a pod finds in which namespace it is.
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Client:
    """The parts of the official client that are used.

    Raises:
        FailedPrecondition: it is not installed.
    """

    def __init__(self) -> None:
        try:
            self.client: Any = importlib.import_module("kubernetes.client")
            self.config: Any = importlib.import_module("kubernetes.config")
            self.http_errors: Any = importlib.import_module("urllib3.exceptions").HTTPError
        except ImportError as exc:
            raise FailedPrecondition(
                f"the executor `kubernetes` needs the Kubernetes client ({exc}): pip install 'symbiont[kubernetes]'",
                reason="KUBERNETES_CLIENT_MISSING",
            ) from exc


def configure(client: Client, config: Path | None, context: str) -> tuple[Any, str]:
    """Returns the client's configuration, and the namespace that comes with it.

    Args:
        client: the official client.
        config: kubeconfig file. Without one: the service account of this pod, or else what kubectl would take.
        context: of the file; empty: the current one.

    Raises:
        FailedPrecondition: nothing says where a cluster is, or what does cannot be read.
    """
    configuration = client.client.Configuration()
    try:
        if config is None and not context and NAMESPACE_FILE.exists():
            client.config.load_incluster_config(configuration)
            return configuration, NAMESPACE_FILE.read_text().strip()
        file = str(config) if config else None
        client.config.load_kube_config(file, context or None, configuration, persist_config=False)
        contexts, current = client.config.list_kube_config_contexts(file)
    except (client.config.ConfigException, OSError) as exc:
        raise FailedPrecondition(
            f"nothing says where the Kubernetes API is: {exc}; run in a pod with the token of a service account, or "
            "set KUBECONFIG to a kubeconfig file, and SYMBIONT_KUBERNETES_CONTEXT to one of its contexts",
            reason="KUBERNETES_CONFIG",
        ) from exc
    chosen = next((entry for entry in contexts if entry["name"] == context), current)
    return configuration, str(chosen["context"].get("namespace", "default"))
