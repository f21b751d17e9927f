"""Objects against the schemas of Kubernetes and of the operators whose kinds the training service uses."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from kubernetes_validate import validate as validate_builtin  # type: ignore[import-untyped]

CRDS = Path(__file__).parents[1] / "manifests/crds"
# The oldest minor that the manifests are for, and the newest whose schemas can be had.
OLDEST, NEWEST = "1.30", "1.37"
MINORS = (OLDEST, "1.34", NEWEST)
OPERATORS = ("JobSet", "PyTorchJob", "RayCluster", "ServiceMonitor", "PrometheusRule", "ScaledObject")
CUSTOM = (*OPERATORS, "Certificate", "Issuer")
Object = dict[str, Any]


def validate(document: Object, minor: str = NEWEST) -> None:
    """Raises jsonschema's ValidationError where a document does not fit, unknown fields included."""
    if document["kind"] in CUSTOM:
        validate_custom(document, minor)
    else:
        validate_builtin(document, minor, strict=True)


def validate_custom(document: Object, minor: str) -> None:
    """Checks an operator's fields against its own schema, and what in it is Kubernetes' against that of Kubernetes."""
    jsonschema.validate(document, _schema(document["kind"].lower()))
    for inner in _builtin_parts(document):
        validate_builtin(inner, minor, strict=True)


@cache
def _schema(kind: str) -> Object:
    schema: Object = yaml.safe_load((CRDS / f"{kind}.yaml").read_text())
    return schema


def _builtin_parts(document: Object) -> Iterator[Object]:
    metadata = document["metadata"]
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    for job in document["spec"].get("replicatedJobs", ()):
        template = deepcopy(job["template"])
        yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": {}, **template}
    groups = [*document["spec"].get("pytorchReplicaSpecs", {}).values(), *document["spec"].get("workerGroupSpecs", ())]
    for group in [*groups, *filter(None, [document["spec"].get("headGroupSpec")])]:
        yield {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": group["template"]}
