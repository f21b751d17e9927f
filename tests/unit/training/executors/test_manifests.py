"""What a worker is rendered to: names, labels, ranks that find each other, pods that may do nothing else."""

import json
from dataclasses import replace
from typing import Any

import pytest

from support.kubernetes_schemas import NEWEST, OLDEST, validate
from symbiont.common.errors import InvalidArgument
from symbiont.training.executors import Launch, WorkerName
from symbiont.training.executors.kubernetes_kinds import GANGS, JOB, JOBSET, PYTORCH_JOB, Kind
from symbiont.training.executors.kubernetes_pod import PodSettings
from symbiont.training.executors.manifests import (
    MAX_NAME,
    MAX_SPEC_BYTES,
    companions,
    object_name,
    selector,
    worker_of,
    workload,
)

SETTINGS = PodSettings("registry.example.com/symbiont/training:0.1.0")
NAME = WorkerName("job-0123456789ab", 2)
OBJECT = "symbiont-job-0123456789ab-2"
FULL = PodSettings(
    "registry.example.com/symbiont/training:0.1.0",
    suite="team-a",
    threads=3,
    cpus=2.5,
    memory="12Gi",
    gpus=2,
    claim="",
    secrets=("artifacts-s3",),
    environment={"NCCL_DEBUG": "INFO"},
    template={
        "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "gpus"}, "annotations": {"example.com/team": "a"}},
        "spec": {"nodeSelector": {"pool": "gpu"}, "imagePullSecrets": [{"name": "registry"}]},
    },
)


def launch(ranks: int = 1, spec: str = '{"job": "jobs/x"}') -> Launch:
    return Launch(NAME, spec, ranks)


def template_of(rendered: dict[str, Any]) -> dict[str, Any]:
    spec = rendered["spec"]
    if rendered["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    if rendered["kind"] == "PyTorchJob":
        spec = spec["pytorchReplicaSpecs"]["Worker"]
    template: dict[str, Any] = spec["template"]
    return template


def container_of(rendered: dict[str, Any]) -> dict[str, Any]:
    (container,) = template_of(rendered)["spec"]["containers"]
    found: dict[str, Any] = container
    return found


@pytest.mark.parametrize("minor", [OLDEST, NEWEST])
@pytest.mark.parametrize("settings", [SETTINGS, FULL], ids=["small", "full"])
@pytest.mark.parametrize(("kind", "ranks"), [(JOB, 1), *((kind, 3) for kind in GANGS.values())])
def test_it_fits_the_schemas(kind: Kind, ranks: int, settings: PodSettings, minor: str) -> None:
    validate(workload(kind, launch(ranks), settings), minor)
    for companion in companions(kind, launch(ranks), settings, "a-uid"):
        validate(companion, minor)


@pytest.mark.parametrize("kind", [JOBSET, PYTORCH_JOB])
def test_the_schemas_of_operators_refuse_what_they_do_not_know(kind: Kind) -> None:
    for place in ((), ("spec",), ("metadata",)):
        broken = json.loads(json.dumps(workload(kind, launch(2), SETTINGS)))
        inner = broken
        for name in place:
            inner = inner[name]
        inner["retries"] = 3
        with pytest.raises(Exception, match="retries"):
            validate(broken)
    broken = json.loads(json.dumps(workload(kind, launch(2), SETTINGS)))
    template_of(broken)["spec"]["hostNetwerk"] = True
    with pytest.raises(Exception, match="hostNetwerk"):
        validate(broken)


def test_names_and_labels_are_those_of_the_attempt() -> None:
    job = workload(JOB, launch(), SETTINGS)
    assert job["metadata"]["name"] == OBJECT
    labels = {
        "app.kubernetes.io/name": "worker",
        "app.kubernetes.io/instance": "symbiont",
        "app.kubernetes.io/part-of": "symbiont",
        "app.kubernetes.io/managed-by": "training",
        "symbiont.dev/job": "job-0123456789ab",
        "symbiont.dev/attempt": "2",
    }
    assert job["metadata"]["labels"] == labels == template_of(job)["metadata"]["labels"]
    assert worker_of(job) == NAME
    assert workload(JOB, launch(), SETTINGS) == job
    one = selector("symbiont", NAME)
    assert one == "app.kubernetes.io/instance=symbiont,symbiont.dev/job=job-0123456789ab,symbiont.dev/attempt=2"
    assert selector("symbiont") == "app.kubernetes.io/name=worker,app.kubernetes.io/instance=symbiont"


@pytest.mark.parametrize(
    ("suite", "name"),
    [
        ("a-suite-with-as-long-a-name-as-0", WorkerName("job-0123456789ab", 12_345)),
        ("symbiont", WorkerName("Job_With.Others", 1)),
        ("symbiont", WorkerName("x" * 60, 1)),
    ],
)
def test_a_name_that_does_not_fit_is_cut_and_stays_its_own(suite: str, name: WorkerName) -> None:
    found = object_name(suite, name)
    assert len(found) <= MAX_NAME
    assert found.replace("-", "").isalnum()
    assert found == found.lower()
    assert found == object_name(suite, name)
    others = {object_name(suite, WorkerName(name.job + "0", name.attempt)), object_name(suite + "0", name)}
    assert found not in others


@pytest.mark.parametrize("kind", [JOB, JOBSET])
def test_kubernetes_repeats_nothing(kind: Kind) -> None:
    rendered = workload(kind, launch(3), SETTINGS)
    job = rendered["spec"] if kind is JOB else rendered["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["backoffLimit"] == 0
    assert job["podReplacementPolicy"] == "Failed"
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (3, 3, "Indexed")
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert rendered["spec"]["ttlSecondsAfterFinished"] == 86_400
    assert kind is JOB or rendered["spec"]["failurePolicy"] == {"maxRestarts": 0}
    # A Job of a JobSet that went by itself would take the log with it, and leave the JobSet without an end.
    assert kind is JOB or "ttlSecondsAfterFinished" not in job


def test_a_pytorchjob_repeats_nothing_and_is_named_as_its_operator_wants() -> None:
    spec = workload(PYTORCH_JOB, launch(4), SETTINGS)["spec"]
    assert spec["runPolicy"] == {"backoffLimit": 0, "cleanPodPolicy": "Running", "ttlSecondsAfterFinished": 86_400}
    replicas = spec["pytorchReplicaSpecs"]
    assert {kind: replica["replicas"] for kind, replica in replicas.items()} == {"Master": 1, "Worker": 3}
    for replica in replicas.values():
        assert replica["restartPolicy"] == "Never"
        (container,) = replica["template"]["spec"]["containers"]
        assert container["name"] == "pytorch"
        assert container["ports"] == [{"name": "pytorchjob-port", "containerPort": 29500}]
        # The operator sets them, and knows the rank.
        assert not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} & {entry["name"] for entry in container["env"]}


def test_one_rank_is_told_of_no_others() -> None:
    job = workload(JOB, launch(), SETTINGS)
    names = {entry["name"] for entry in container_of(job)["env"]}
    assert not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} & names
    assert "subdomain" not in template_of(job)["spec"]
    assert [c["kind"] for c in companions(JOB, launch(), SETTINGS, "a-uid")] == ["Secret"]


def test_the_spec_is_in_a_secret_that_goes_with_its_job() -> None:
    (secret,) = companions(JOB, launch(), SETTINGS, "a-uid")
    assert secret["stringData"] == {"spec.json": '{"job": "jobs/x"}'}
    assert secret["immutable"] is True
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": OBJECT, "uid": "a-uid"}
    assert secret["metadata"]["ownerReferences"] == [owner]
    assert '{"job"' not in json.dumps(workload(JOB, launch(), SETTINGS))


def test_the_worker_reads_it_in_a_folder_that_it_may_write() -> None:
    pod = template_of(workload(JOB, launch(), SETTINGS))["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    option, path, *rest = container["args"]
    assert (option, rest) == ("--spec", ["--attempt", "2"])
    assert volumes[mounts[path]["name"]]["secret"] == {"secretName": OBJECT, "defaultMode": 0o440}
    assert mounts[path]["subPath"] == "spec.json"
    folder = mounts[path.rpartition("/")[0]]
    assert "emptyDir" in volumes[folder["name"]]
    assert not folder.get("readOnly")
    assert {mount["name"] for mount in mounts.values()} == volumes.keys()


def test_a_spec_that_no_secret_holds_is_refused() -> None:
    workload(JOB, launch(spec="x" * MAX_SPEC_BYTES), SETTINGS)
    with pytest.raises(InvalidArgument, match=rf"takes {MAX_SPEC_BYTES + 1} bytes.*labels") as caught:
        workload(JOB, launch(spec="x" * (MAX_SPEC_BYTES + 1)), SETTINGS)
    assert caught.value.field == "spec.classification.labels"


def test_settings_become_resources_and_variables() -> None:
    container = container_of(workload(JOB, launch(), FULL))
    assert container["resources"] == {
        "requests": {"cpu": "2.5", "memory": "12Gi"},
        "limits": {"memory": "12Gi", "nvidia.com/gpu": "2"},
    }
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["NCCL_DEBUG"] == "INFO"
    assert container["envFrom"] == [{"secretRef": {"name": "artifacts-s3"}}]
    default = container_of(workload(JOB, launch(), replace(FULL, threads=0)))
    assert {"name": "OMP_NUM_THREADS", "value": "3"} in default["env"]


def test_a_folder_of_artifacts_is_on_its_claim() -> None:
    job = workload(JOB, launch(), replace(SETTINGS, artifacts="/artifacts", claim="shared"))
    claim = {"persistentVolumeClaim": {"claimName": "shared"}}
    assert {"name": "artifacts", **claim} in template_of(job)["spec"]["volumes"]
    assert {"name": "artifacts", "mountPath": "/artifacts"} in container_of(job)["volumeMounts"]
    assert not [entry for entry in container_of(job)["env"] if entry["name"].startswith("SYMBIONT_ARTIFACT")]


def test_before_artifacts_in_s3_there_is_a_cache() -> None:
    job = workload(JOB, launch(), replace(SETTINGS, artifacts="s3://bucket/prefix", claim="", cache_bytes=2000))
    (mount,) = (m["mountPath"] for m in container_of(job)["volumeMounts"] if m["name"] == "artifacts")
    assert {"name": "SYMBIONT_ARTIFACT_CACHE", "value": mount} in container_of(job)["env"]
    assert {"name": "SYMBIONT_ARTIFACT_CACHE_BYTES", "value": "2000"} in container_of(job)["env"]
    assert {"name": "artifacts", "emptyDir": {"sizeLimit": "3000"}} in template_of(job)["spec"]["volumes"]


@pytest.mark.parametrize(("kind", "ranks"), [(JOB, 1), *((kind, 2) for kind in GANGS.values())])
def test_what_the_cluster_asks_of_pods_is_in_each_and_ours_stays(kind: Kind, ranks: int) -> None:
    rendered = workload(kind, launch(ranks), FULL)
    template = template_of(rendered)
    assert template["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    for metadata in (rendered["metadata"], template["metadata"]):
        assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
        assert metadata["labels"]["symbiont.dev/job"] == NAME.job
        assert metadata["annotations"] == {"example.com/team": "a"}
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
