"""What a worker is on Kubernetes, as manifests: pure functions of what is launched and of the settings of pods.

One rank is a Job. Several are an Indexed Job whose pods find each other through a headless Service, or, where a cluster
has one of these operators, a JobSet or a PyTorchJob. A Secret holds the spec.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import MARK
from symbiont.training.executors import Launch, WorkerName
from symbiont.training.executors.kubernetes_kinds import JOBSET, PYTORCH_JOB, Kind, Object
from symbiont.training.executors.kubernetes_pod import CONTAINER, SPEC, PodSettings, pod_template

JOB_LABEL, ATTEMPT_LABEL = "symbiont.dev/job", "symbiont.dev/attempt"
INSTANCE_LABEL = "app.kubernetes.io/instance"
# Set by Kubernetes on each pod of an Indexed Job: what it puts into JOB_COMPLETION_INDEX, too.
INDEX = "batch.kubernetes.io/job-completion-index"
MASTER_PORT = 29500
# Of a JobSet's only part, which is in the names of its pods.
PART = "ranks"
# The operator of PyTorchJobs knows the container and its port by these names.
PYTORCH, PYTORCH_PORT = "pytorch", "pytorchjob-port"
# 63, less what a JobSet adds for the pods of a thousand ranks: it adds most.
MAX_NAME = 45
# Of all data of a Secret.
MAX_SPEC_BYTES = 1 << 20


def object_name(suite: str, name: WorkerName) -> str:
    """Returns the name of all objects of a worker: the same whoever asks."""
    plain = f"{suite}-{name.job}-{name.attempt}"
    if len(plain) <= MAX_NAME and re.fullmatch("[a-z]([a-z0-9-]*[a-z0-9])?", plain):
        return plain
    return f"{suite[:20]}-{hashlib.sha256(plain.encode()).hexdigest()[:12]}-{name.attempt}"


def labels_of(suite: str, name: WorkerName) -> dict[str, str]:
    """Returns the labels of all objects and pods of a worker."""
    return {**_suite_labels(suite), JOB_LABEL: _label(name.job), ATTEMPT_LABEL: str(name.attempt)}


def worker_of(workload: Object) -> WorkerName:
    """Returns the worker whose labels an object has."""
    labels = workload["metadata"]["labels"]
    return WorkerName(labels[JOB_LABEL].replace(".", MARK), int(labels[ATTEMPT_LABEL]))


def selector(suite: str, name: WorkerName | None = None) -> str:
    """Returns the label selector of one worker, or of all workers of a suite."""
    if name is None:
        return f"app.kubernetes.io/name={CONTAINER},{INSTANCE_LABEL}={suite}"
    return f"{INSTANCE_LABEL}={suite},{JOB_LABEL}={_label(name.job)},{ATTEMPT_LABEL}={name.attempt}"


def _label(job: str) -> str:
    """Returns an id as a label may have it: the mark between tenant and id is none of its characters."""
    return job.replace(MARK, ".")


def _suite_labels(suite: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": CONTAINER,
        INSTANCE_LABEL: suite,
        "app.kubernetes.io/part-of": "symbiont",
        "app.kubernetes.io/managed-by": "training",
    }


def workload(kind: Kind, launch: Launch, settings: PodSettings) -> dict[str, Any]:
    """Returns the object that runs a worker.

    Raises:
        InvalidArgument: the spec fits into no Secret.
    """
    size = len(launch.spec_json.encode())
    if size > MAX_SPEC_BYTES:
        raise InvalidArgument(
            "spec.classification.labels",
            f"the spec takes {size} bytes and a Secret holds {MAX_SPEC_BYTES}: shorten the labels, which are likely "
            "most of it, or use fewer",
        )
    render = {JOBSET: _jobset, PYTORCH_JOB: _pytorchjob}.get(kind, _job)
    # What the cluster wants on pods it may want here, the name of a queue say.
    metadata = settings.template.get("metadata") or {}
    name = object_name(settings.suite, launch.name)
    labels = {**(metadata.get("labels") or {}), **labels_of(settings.suite, launch.name)}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": name, "labels": labels, "annotations": dict(metadata.get("annotations") or {})},
        "spec": render(launch, settings, name),
    }


def companions(kind: Kind, launch: Launch, settings: PodSettings, uid: str) -> list[dict[str, Any]]:
    """Returns what a worker needs besides, in the order in which to create it.

    Kubernetes removes it with the object of that uid, to which it belongs.
    """
    name = object_name(settings.suite, launch.name)
    # Without blockOwnerDeletion, which some clusters let only those ask for who may update the owner.
    owner = {"apiVersion": kind.api_version, "kind": kind.name, "name": name, "uid": uid}
    labels = labels_of(settings.suite, launch.name)
    metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "immutable": True,
        "stringData": {SPEC: launch.spec_json},
    }
    if launch.ranks == 1 or kind in (JOBSET, PYTORCH_JOB):
        return [secret]
    # The Secret last: no rank starts without it, so that each finds the Service.
    return [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": _service(labels)}, secret]


def _service(labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "clusterIP": "None",
        # Ranks look for rank 0 before it says that it is ready, which nothing makes it say.
        "publishNotReadyAddresses": True,
        "selector": {key: labels[key] for key in (INSTANCE_LABEL, JOB_LABEL, ATTEMPT_LABEL)},
        "ports": [{"name": "rendezvous", "port": MASTER_PORT}],
    }


def _job(launch: Launch, settings: PodSettings, name: str) -> dict[str, Any]:
    spec = _indexed_job(launch, settings, name, master=f"{name}-0.{name}")
    if launch.ranks > 1:
        spec["template"]["spec"]["subdomain"] = name
    return {**spec, "ttlSecondsAfterFinished": settings.keep_seconds}


def _indexed_job(launch: Launch, settings: PodSettings, name: str, master: str) -> dict[str, Any]:
    variables = _rendezvous(launch.ranks, master) if launch.ranks > 1 else []
    return {
        # One rank is Indexed as well, so that rank 0 is known by the same sign.
        "completionMode": "Indexed",
        "completions": launch.ranks,
        "parallelism": launch.ranks,
        "backoffLimit": 0,
        # A pod that is being evicted is not replaced while it stops: that would be a second worker of one attempt.
        "podReplacementPolicy": "Failed",
        "template": pod_template(launch, settings, name, labels_of(settings.suite, launch.name), variables),
    }


def _rendezvous(ranks: int, master: str) -> list[dict[str, Any]]:
    return [
        {"name": "RANK", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}},
        {"name": "WORLD_SIZE", "value": str(ranks)},
        {"name": "MASTER_ADDR", "value": master},
        {"name": "MASTER_PORT", "value": str(MASTER_PORT)},
    ]


def _jobset(launch: Launch, settings: PodSettings, name: str) -> dict[str, Any]:
    job = _indexed_job(launch, settings, name, master=f"{name}-{PART}-0-0.{name}")
    return {
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": name},
        "failurePolicy": {"maxRestarts": 0},
        "replicatedJobs": [{"name": PART, "replicas": 1, "template": {"spec": job}}],
        "ttlSecondsAfterFinished": settings.keep_seconds,
    }


def _pytorchjob(launch: Launch, settings: PodSettings, name: str) -> dict[str, Any]:
    # The operator itself sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
    template = pod_template(launch, settings, name, labels_of(settings.suite, launch.name))
    for container in template["spec"]["containers"]:
        if container["name"] == CONTAINER:
            container["name"] = PYTORCH
            container.setdefault("ports", []).append({"name": PYTORCH_PORT, "containerPort": MASTER_PORT})
    replica = {"restartPolicy": "Never", "template": template}
    return {
        "runPolicy": {
            "backoffLimit": 0,
            # When one rank fails the others are ended; what has ended stays, and its log with it.
            "cleanPodPolicy": "Running",
            "ttlSecondsAfterFinished": settings.keep_seconds,
        },
        "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, **replica},
            "Worker": {"replicas": launch.ranks - 1, **replica},
        },
    }
