"""What a cluster asks of its pods besides: a file with part of a pod template, merged into the one of every worker.

metadata: {labels: {kueue.x-k8s.io/queue-name: training}}
spec:
  nodeSelector: {pool: gpu}
  tolerations: [{key: gpu, operator: Exists}]
  containers:
    - name: worker
      env: [{name: NCCL_DEBUG, value: INFO}]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from symbiont.common.errors import InvalidArgument

FIELD = "kubernetes_pod_template"
# By what the entries of a list are known, as `kubectl apply` has it.
KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
# Of these an entry changes the one of the same name; of the others it takes its place: a volume is one thing, not two.
MERGED = ("containers", "initContainers")
# Workers are found by these labels.
OURS = ("symbiont.dev/", "app.kubernetes.io/")


def read_template(path: Path) -> dict[str, Any]:
    """Reads part of a pod template from YAML; an empty file is one that changes nothing.

    Raises:
        InvalidArgument: the file cannot be read, is no part of a pod template, or sets what is the executor's.
    """
    import yaml

    try:
        template = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise InvalidArgument(FIELD, f"{path} cannot be read as YAML: {exc}") from exc
    _check(template, path)
    checked: dict[str, Any] = template
    return checked


def _check(template: Any, path: Path) -> None:
    if not isinstance(template, dict) or not template.keys() <= {"metadata", "spec"}:
        raise InvalidArgument(FIELD, f"{path} may have `metadata` and `spec`, as a pod template has, and nothing else")
    metadata, spec = (template[part] if template.get(part) is not None else {} for part in ("metadata", "spec"))
    if not isinstance(metadata, dict) or not metadata.keys() <= {"labels", "annotations"}:
        raise InvalidArgument(FIELD, f"metadata in {path} may have `labels` and `annotations` and nothing else")
    if taken := [label for label in metadata.get("labels") or () if label.startswith(OURS)]:
        raise InvalidArgument(FIELD, f"the label {taken[0]} in {path} is the executor's own: leave it out")
    if not isinstance(spec, dict):
        raise InvalidArgument(FIELD, f"spec in {path} is no mapping")
    if "restartPolicy" in spec:
        raise InvalidArgument(
            FIELD, f"spec.restartPolicy in {path} is the executor's own: the controller repeats attempts, nobody else"
        )
    _check_lists(spec, path)


def _check_lists(part: Any, path: Path, where: str = "spec") -> None:
    """Refuses entries without that by which they would be merged."""
    if isinstance(part, Mapping):
        for name, value in part.items():
            _check_lists(value, path, f"{where}.{name}")
            key = KEYS.get(name)
            if key and not (isinstance(value, list) and all(isinstance(e, Mapping) and key in e for e in value)):
                raise InvalidArgument(FIELD, f"{where}.{name} in {path} is to be a list of entries with a `{key}` each")
    elif isinstance(part, list):
        for index, value in enumerate(part):
            _check_lists(value, path, f"{where}[{index}]")


def merge(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a mapping with another one merged into it.

    Mappings are merged key by key, the lists of KEYS entry by entry, and other lists are joined. Of two plain values
    the second one stands.
    """
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            merged[key] = _merge_entries(key, mine, value) if key in KEYS else [*mine, *value]
        elif value is not None:
            merged[key] = value
    return merged


def _merge_entries(
    list_name: str, ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    key = KEYS[list_name]
    merged = {entry[key]: dict(entry) for entry in ours}
    for entry in theirs:
        before = merged.get(entry[key], {}) if list_name in MERGED else {}
        merged[entry[key]] = merge(before, entry)
    return list(merged.values())
