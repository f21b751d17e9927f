"""Part of a pod template in a file: merged entry by entry, and refused where it would break what is relied on."""

from pathlib import Path

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.training.executors import Launch, WorkerName
from symbiont.training.executors.kubernetes_pod import PodSettings, pod_template
from symbiont.training.executors.kubernetes_template import merge, read_template


def read(folder: Path, text: str) -> dict[str, object]:
    path = folder / "pod.yaml"
    path.write_text(text)
    return read_template(path)


def test_a_file_changes_pods(tmp_path: Path) -> None:
    extra = read(
        tmp_path,
        """
        metadata: {labels: {team: a}}
        spec:
          priorityClassName: batch
          tolerations: [{key: gpu, operator: Exists}]
          containers:
            - name: worker
              env: [{name: HF_HUB_OFFLINE, value: "0"}, {name: NCCL_DEBUG, value: INFO}]
              volumeMounts: [{name: ramdisk, mountPath: /tmp}]
            - {name: sidecar, image: sidecar:1}
          volumes: [{name: tmp, emptyDir: {medium: Memory}}, {name: ramdisk, emptyDir: {}}]
        """,
    )
    launch, labels = Launch(WorkerName("job-x", 1), "{}"), {"symbiont.dev/job": "job-x"}
    plain = pod_template(launch, PodSettings("image"), "name", labels)
    changed = pod_template(launch, PodSettings("image", template=extra), "name", labels)
    assert changed["metadata"]["labels"] == {**labels, "team": "a"}
    spec = changed["spec"]
    assert spec["priorityClassName"] == "batch"
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    worker, sidecar = spec["containers"]
    assert sidecar == {"name": "sidecar", "image": "sidecar:1"}
    before = plain["spec"]["containers"][0]
    assert worker["securityContext"] == before["securityContext"]
    variables = {entry["name"]: entry["value"] for entry in worker["env"]}
    assert variables["HF_HUB_OFFLINE"] == "0"
    assert variables["NCCL_DEBUG"] == "INFO"
    assert len(worker["env"]) == len(before["env"]) + 1
    mounts = {mount["mountPath"]: mount["name"] for mount in worker["volumeMounts"]}
    assert mounts["/tmp"] == "ramdisk"
    # A volume is one thing: it is replaced, not mixed.
    assert {"name": "tmp", "emptyDir": {"medium": "Memory"}} in spec["volumes"]
    assert len(spec["volumes"]) == len(plain["spec"]["volumes"]) + 1


def test_a_volume_of_another_kind_takes_the_place_of_ours() -> None:
    ours = {"volumes": [{"name": "artifacts", "persistentVolumeClaim": {"claimName": "artifacts"}}]}
    theirs = {"volumes": [{"name": "artifacts", "nfs": {"server": "x", "path": "/"}}]}
    assert merge(ours, theirs) == theirs


def test_what_is_null_or_absent_changes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing yet\n") == {}
    assert merge({"a": {"b": 1}, "c": [1]}, {"a": None, "c": [2]}) == {"a": {"b": 1}, "c": [1, 2]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "cannot be read as YAML"),
        ("- spec", "may have `metadata` and `spec`"),
        ("nodeSelector: {a: b}", "may have `metadata` and `spec`"),
        ("metadata: {name: x}", "may have `labels` and `annotations`"),
        ("metadata: {labels: {symbiont.dev/job: x}}", "symbiont.dev/job .* leave it out"),
        ("metadata: {labels: {app.kubernetes.io/name: x}}", "app.kubernetes.io/name .* leave it out"),
        ("spec: []", "spec .* is no mapping"),
        ("spec: {restartPolicy: OnFailure}", "restartPolicy .* the controller repeats attempts"),
        ("spec: {containers: {name: worker}}", "spec.containers .* list of entries with a `name` each"),
        ("spec: {containers: [{env: []}]}", "spec.containers .* `name` each"),
        ("spec: {containers: [{name: worker, env: [X=1]}]}", r"spec.containers\[0\].env .* `name` each"),
        ("spec: {containers: [{name: worker, volumeMounts: [{name: x}]}]}", "volumeMounts .* `mountPath` each"),
    ],
)
def test_what_would_break_a_worker_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        read(tmp_path, text)
    assert caught.value.field == "kubernetes_pod_template"
    assert "pod.yaml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"nowhere.yaml cannot be read"):
        read_template(tmp_path / "nowhere.yaml")
