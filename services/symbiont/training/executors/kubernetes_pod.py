"""The pod of a rank: rendered from settings, without a look at any cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from symbiont.common.artifacts import BYTES_VARIABLE, DEFAULT_BYTES, FOLDER_VARIABLE
from symbiont.common.security.files import CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE
from symbiont.common.threads import QUIET
from symbiont.training.executors import Launch
from symbiont.training.executors.kubernetes_template import merge

CONTAINER = "worker"
SPEC = "spec.json"
# The user of the images, whose number Kubernetes must know to refuse root.
USER = 10001
WORK = "/var/lib/symbiont/work"
ARTIFACTS = "/var/lib/symbiont/artifacts"
TLS = "/etc/symbiont/tls"
# As cert-manager names them.
_TLS_VARIABLES = {
    CA_VARIABLE: f"{TLS}/ca.crt",
    CERTIFICATE_VARIABLE: f"{TLS}/tls.crt",
    KEY_VARIABLE: f"{TLS}/tls.key",
}
# Owner and group may read, nobody may write.
READABLE = 0o440


@dataclass(frozen=True)
class PodSettings:
    """What the pods of all workers have in common. Quantities are in Kubernetes' own notation."""

    # With the same code as the controller's.
    image: str
    # Begins the names of workers, and is their label `app.kubernetes.io/instance`.
    suite: str = "symbiont"
    service_account: str = "worker"
    program: Sequence[str] = ("python", "-m", "symbiont.training.worker")
    # Of each rank; 0 threads: as many as it has CPUs.
    threads: int = 0
    cpus: float = 1
    memory: str = "4Gi"
    gpus: int = 0
    gpu_resource: str = "nvidia.com/gpu"
    # The folder of the artifacts, on the volume of this claim. No claim: they lie in S3, and each pod has a cache.
    artifacts: str = ARTIFACTS
    claim: str = "artifacts"
    cache_bytes: int = DEFAULT_BYTES
    # Secrets whose keys become variables: AWS_ACCESS_KEY_ID and the like.
    secrets: Sequence[str] = ()
    # Such a one that need not be there: how to log in to Vault, where the suite has one.
    login_secret: str = ""
    # With tls.crt, tls.key and ca.crt, which a worker shows to the suite; empty for one that asks nobody.
    tls_secret: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    # Between SIGTERM and SIGKILL: a step, a checkpoint and its upload.
    grace_seconds: int = 120
    # How long what has ended stays to be looked at, its log with it.
    keep_seconds: int = 86_400
    # Merged into each pod: see `kubernetes_template`.
    template: Mapping[str, Any] = field(default_factory=dict)


def pod_template(
    launch: Launch,
    settings: PodSettings,
    name: str,
    labels: Mapping[str, str],
    variables: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Returns the template of a rank's pod.

    Args:
        launch: what is started.
        settings: what all pods have in common.
        name: of the Secret with the spec.
        labels: by which the pods are found.
        variables: further entries of the container's `env`.
    """
    template = {
        "metadata": {"labels": dict(labels)},
        "spec": {
            "serviceAccountName": settings.service_account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            # Whether an attempt is repeated is the controller's to say.
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": settings.grace_seconds,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(launch, settings, variables)],
            "volumes": _volumes(settings, name),
        },
    }
    return merge(template, settings.template)


def _container(launch: Launch, settings: PodSettings, variables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": settings.image,
        "command": list(settings.program),
        "args": ["--spec", f"{WORK}/{SPEC}", "--attempt", str(launch.name.attempt)],
        "env": [*({"name": key, "value": value} for key, value in _environment(settings).items()), *variables],
        "resources": _resources(settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            # The worker keeps its reports beside the spec, so the one file lies in a folder that it may write.
            {"name": "work", "mountPath": WORK},
            {"name": "spec", "mountPath": f"{WORK}/{SPEC}", "subPath": SPEC, "readOnly": True},
            {"name": "artifacts", "mountPath": settings.artifacts if settings.claim else ARTIFACTS},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108, a volume of the pod's own
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }
    if settings.tls_secret:
        container["volumeMounts"].append({"name": "tls", "mountPath": TLS, "readOnly": True})
    sources: list[Any] = [{"secretRef": {"name": secret}} for secret in settings.secrets]
    if settings.login_secret:
        sources.append({"secretRef": {"name": settings.login_secret, "optional": True}})
    return container | ({"envFrom": sources} if sources else {})


def _environment(settings: PodSettings) -> dict[str, str]:
    return {
        **QUIET,
        "OMP_NUM_THREADS": str(settings.threads or ceil(settings.cpus)),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        **({} if settings.claim else {FOLDER_VARIABLE: ARTIFACTS, BYTES_VARIABLE: str(settings.cache_bytes)}),
        **(_TLS_VARIABLES if settings.tls_secret else {}),
        **settings.environment,
    }


def _resources(settings: PodSettings) -> dict[str, Any]:
    # No limit of CPU: throttling makes all ranks wait for one.
    limits = {"memory": settings.memory}
    if settings.gpus:
        limits[settings.gpu_resource] = str(settings.gpus)
    return {"requests": {"cpu": f"{settings.cpus:g}", "memory": settings.memory}, "limits": limits}


def _volumes(settings: PodSettings, name: str) -> list[dict[str, Any]]:
    artifacts: dict[str, Any] = {"persistentVolumeClaim": {"claimName": settings.claim}}
    if not settings.claim:
        # Besides what the cache may hold, what is just being stored.
        artifacts = {"emptyDir": {"sizeLimit": str(settings.cache_bytes * 3 // 2)}}
    tls = {"name": "tls", "secret": {"secretName": settings.tls_secret, "defaultMode": READABLE}}
    return [
        *([tls] if settings.tls_secret else []),
        {"name": "work", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "spec", "secret": {"secretName": name, "defaultMode": READABLE}},
        {"name": "artifacts", **artifacts},
        {"name": "tmp", "emptyDir": {"sizeLimit": "8Gi"}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
