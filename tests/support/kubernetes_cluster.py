"""What a cluster makes of Jobs, JobSets and PyTorchJobs: pods, their names and variables, and what status says of them.

It runs nothing: a test says what becomes of a pod. Every status is checked against the schema of its kind.
"""

import itertools
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from support.kubernetes_schemas import Object, validate

INDEX = "batch.kubernetes.io/job-completion-index"
TIME = "2026-11-28T12:00:{:02}Z"
FINISHED = ("Succeeded", "Failed")
CHECKED: set[tuple[str, str]] = set()


class Cluster:
    """The objects of one namespace by (kind, name), with what their controllers do to them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        # (pod, signal), in their order.
        self.signals: list[tuple[str, str]] = []
        self.logs: dict[str, bytes] = {}
        self._numbers = itertools.count(1)

    def kinds(self, kind: str) -> list[Object]:
        return [found for (of, _), found in self.objects.items() if of == kind]

    def pods(self) -> list[Object]:
        return self.kinds("Pod")

    def add(self, document: Object, owner: Object | None = None) -> Object:
        """Stores an object as the API server does, and lets the controller of its kind act."""
        number = next(self._numbers)
        metadata = document["metadata"]
        metadata |= {"uid": f"uid-{number}", "creationTimestamp": TIME.format(number % 60), "namespace": "symbiont"}
        if owner is not None:
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "blockOwnerDeletion": True}
            reference |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
            metadata["ownerReferences"] = [reference]
        self.objects[document["kind"], metadata["name"]] = document
        make = {"Job": self._make_pods, "JobSet": self._make_job, "PyTorchJob": self._make_replicas}
        if document["kind"] in make:
            make[document["kind"]](document)
            self.look()
        return document

    def resolve(self, address: str) -> str:
        """Returns the pod that has an address in the DNS of the namespace."""
        host, _, subdomain = address.partition(".")
        service = self.objects["Service", subdomain or host]["spec"]
        assert service["clusterIP"] == "None"
        found = [
            pod["metadata"]["name"]
            for pod in self.pods()
            if service["selector"].items() <= pod["metadata"]["labels"].items()
            and (not subdomain or (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == (host, subdomain))
        ]
        assert len(found) == 1, found
        return str(found[0])

    # What tests say of pods.

    def start(self, *names: str) -> None:
        """Has pods run, by default all that wait; only those whose Secret is there can."""
        waiting = [pod for pod in self.pods() if pod["status"]["phase"] == "Pending"]
        for pod in self._chosen(names) if names else waiting:
            secret = next(v["secret"]["secretName"] for v in pod["spec"]["volumes"] if v["name"] == "spec")
            assert ("Secret", secret) in self.objects, f"{pod['metadata']['name']} waits for its Secret"
            self._set(pod, "Running", {"running": {}})

    def end(self, *names: str, status: int = 0, reason: str = "") -> None:
        """Has pods end with an exit status; one that was being deleted is gone then."""
        ended = {"exitCode": status, "reason": reason or ("Error" if status else "Completed")}
        for pod in self._chosen(names):
            self._set(pod, "Failed" if status else "Succeeded", {"terminated": ended})
            if "deletionTimestamp" in pod["metadata"]:
                self.remove(pod)
        self.look()

    def evict(self, name: str) -> None:
        """Ends a pod as a node does that runs out of something: no container says a word."""
        pod = self.objects["Pod", name]
        words = {"reason": "Evicted", "message": "The node was low on resource: memory."}
        pod["status"] = {"phase": "Failed", **words}
        self.look()

    # What the API server and the garbage collector do.

    def delete(self, target: Object, policy: str | None) -> None:
        """Deletes an object; without a policy a Job leaves its pods behind, as the API has it for Jobs."""
        if policy == "Foreground" and self._owned(target):
            target["metadata"] |= {"deletionTimestamp": TIME.format(59), "finalizers": ["foregroundDeletion"]}
            for owned in self._owned(target):
                self.delete(owned, policy)
            return
        if target["kind"] == "Pod":
            self._terminate(target)
            return
        orphans = policy is None and target["kind"] == "Job"
        self.remove(target, orphans=orphans)

    def kill(self, pod: Object) -> None:
        """Deletes a pod without grace: the API has it no more, whatever its node does."""
        if pod["status"]["phase"] not in FINISHED:
            self.signals.append((pod["metadata"]["name"], "SIGKILL"))
        self.remove(pod)

    def remove(self, target: Object, *, orphans: bool = False) -> None:
        """Removes an object, then what belongs to it, and what waited for that."""
        owned = self._owned(target)
        self.objects.pop((target["kind"], target["metadata"]["name"]), None)
        for other in () if orphans else owned:
            self.delete(other, "Background")
        for other in list(self.objects.values()):
            waits = "foregroundDeletion" in other["metadata"].get("finalizers", ())
            # Only what its maker marked is waited for: a Secret of ours goes afterwards.
            if waits and not any(_blocks(found, other) for found in self._owned(other)):
                self.remove(other)
        self.look()

    def _terminate(self, pod: Object) -> None:
        if pod["status"]["phase"] != "Running":
            self.remove(pod)
        elif "deletionTimestamp" not in pod["metadata"]:
            seconds = pod["spec"]["terminationGracePeriodSeconds"]
            pod["metadata"] |= {"deletionTimestamp": TIME.format(58), "deletionGracePeriodSeconds": seconds}
            # What is mounted stays, though its Secret may go before it.
            self.signals.append((pod["metadata"]["name"], "SIGTERM"))

    def _owned(self, owner: Object) -> list[Object]:
        uid = owner["metadata"]["uid"]
        found = list(self.objects.values())
        return [o for o in found if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences", ()))]

    def _chosen(self, names: tuple[str, ...]) -> list[Object]:
        return [self.objects["Pod", name] for name in names] if names else self.pods()

    def _set(self, pod: Object, phase: str, state: Object) -> None:
        container = pod["spec"]["containers"][0]
        ready = phase == "Running"
        described = {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0}
        pod["status"] = {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{**described, "ready": ready, "state": state}],
        }
        self.look()

    # What controllers do.

    def _make_pods(self, job: Object) -> None:
        name, spec = job["metadata"]["name"], job["spec"]
        for index in range(spec["completions"]):
            pod = self._pod(f"{name}-{index}-x{index}", spec["template"], hostname=f"{name}-{index}")
            annotations = pod["metadata"].setdefault("annotations", {})
            annotations[INDEX] = str(index)
            self.add(pod, job)

    def _make_job(self, jobset: Object) -> None:
        (part,) = jobset["spec"]["replicatedJobs"]
        name, network = jobset["metadata"]["name"], jobset["spec"]["network"]
        job = {"apiVersion": "batch/v1", "kind": "Job", **deepcopy(part["template"])}
        job["metadata"] = {"name": f"{name}-{part['name']}-0", "labels": {"jobset.sigs.k8s.io/jobset-name": name}}
        if network["enableDNSHostnames"]:
            job["spec"]["template"]["spec"]["subdomain"] = network["subdomain"]
            selected = job["spec"]["template"]["metadata"]["labels"]
            self._service(network["subdomain"], selected, jobset, headless=True)
        validate(job)
        self.add(job, jobset)

    def _make_replicas(self, job: Object) -> None:
        name, replicas = job["metadata"]["name"], job["spec"]["pytorchReplicaSpecs"]
        total = sum(replica["replicas"] for replica in replicas.values())
        for kind, replica in replicas.items():
            for index in range(replica["replicas"]):
                rank = index + (kind == "Worker")
                variables = {"MASTER_ADDR": f"{name}-master-0", "WORLD_SIZE": str(total), "RANK": str(rank)}
                pod = self._pod(f"{name}-{kind.lower()}-{index}", replica["template"])
                (container,) = pod["spec"]["containers"]
                (port,) = (p for p in container["ports"] if p["name"] == "pytorchjob-port")
                variables["MASTER_PORT"] = str(port["containerPort"])
                container["env"] += [{"name": key, "value": value} for key, value in variables.items()]
                labels = {"training.kubeflow.org/replica-type": kind.lower()}
                pod["metadata"]["labels"] |= labels
                self.add(pod, job)
                selected = {"training.kubeflow.org/replica-type": kind.lower()}
                self._service(pod["metadata"]["name"], selected, job, headless=True)

    def _pod(self, name: str, template: Object, **spec: Any) -> Object:
        pod = {"apiVersion": "v1", "kind": "Pod", **deepcopy(template), "status": {"phase": "Pending"}}
        pod["metadata"]["name"] = name
        pod["spec"] |= spec
        return pod

    def _service(self, name: str, selected: Object, owner: Object, *, headless: bool) -> None:
        spec = {"selector": dict(selected), "clusterIP": "None" if headless else "10.0.0.9"}
        self.add({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}, owner)

    def look(self) -> None:
        """Has the controllers see how the pods are, and say so."""
        for job in self.kinds("Job"):
            self._judge_job(job)
        for jobset in self.kinds("JobSet"):
            jobset["status"] = _jobset_status(jobset, self._owned(jobset))
        for job in self.kinds("PyTorchJob"):
            job["status"] = _pytorchjob_status(job, self._owned(job))
        for found in (*self.kinds("Job"), *self.kinds("JobSet"), *self.kinds("PyTorchJob")):
            _check_status(found)

    def _judge_job(self, job: Object) -> None:
        pods = [found for found in self._owned(job) if found["kind"] == "Pod"]
        before = job.get("status", {})
        job["status"] = status = _job_status(job, pods, before)
        if status["failed"] and not before.get("failed"):
            for pod in pods:
                if pod["status"]["phase"] not in FINISHED:
                    self._terminate(pod)
            job["status"] = _job_status(job, pods, status)


def variables_of(pod: Object) -> dict[str, str]:
    """Returns the variables of a pod's container as a node sets them: of two with one name the later one stands."""
    found = {}
    for entry in pod["spec"]["containers"][0]["env"]:
        found[entry["name"]] = entry.get("value")
        if "valueFrom" in entry:
            path = entry["valueFrom"]["fieldRef"]["fieldPath"]
            key = path.removeprefix("metadata.annotations['").removesuffix("']")
            found[entry["name"]] = pod["metadata"]["annotations"][key]
    return found


def _blocks(owned: Object, owner: Object) -> bool:
    references = owned["metadata"]["ownerReferences"]
    return any(r["uid"] == owner["metadata"]["uid"] and r.get("blockOwnerDeletion") for r in references)


def _check_status(document: Object) -> None:
    """Checks a status against the schema of its kind; each once, since that takes a tenth of a second."""
    found = document["kind"], json.dumps(document["status"])
    if found not in CHECKED:
        validate(document)
        CHECKED.add(found)


def _job_status(job: Object, pods: list[Object], before: Object) -> Object:
    failed = before.get("failed", 0)
    going = [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    phases = [pod["status"]["phase"] for pod in staying]
    status: Object = {
        "active": sum(phase in ("Pending", "Running") for phase in phases),
        "ready": phases.count("Running"),
        "terminating": len([pod for pod in going if pod["status"]["phase"] not in FINISHED]),
        "succeeded": phases.count("Succeeded"),
        "failed": max(phases.count("Failed"), failed),
    }
    conditions = list(_conditions(job, status))
    return {**status, "conditions": conditions} if conditions else status


def _conditions(job: Object, status: Object) -> Iterator[Object]:
    failure = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    if status["failed"] > job["spec"]["backoffLimit"]:
        yield {"type": "FailureTarget", "status": "True", **failure}
        if not status["active"] and not status["terminating"]:
            yield {"type": "Failed", "status": "True", **failure}
    elif status["succeeded"] == job["spec"]["completions"]:
        yield {"type": "Complete", "status": "True"}


def _jobset_status(jobset: Object, owned: list[Object]) -> Object:
    jobs = [found for found in owned if found["kind"] == "Job"]
    types = {condition["type"] for job in jobs for condition in job["status"].get("conditions", ())}
    (part,) = jobset["spec"]["replicatedJobs"]
    counts = {
        "name": part["name"],
        "active": sum(job["status"]["active"] > 0 for job in jobs),
        "failed": int("Failed" in types),
        "ready": sum(job["status"]["ready"] >= job["spec"]["parallelism"] for job in jobs),
        "succeeded": int("Complete" in types),
        "suspended": 0,
    }
    status: Object = {"replicatedJobsStatus": [counts], "restarts": 0}
    ended = "Failed" if counts["failed"] else "Completed" if counts["succeeded"] else ""
    if ended:
        words = {"reason": f"{ended}Jobs", "message": "jobset", "lastTransitionTime": TIME.format(30)}
        status |= {"terminalState": ended, "conditions": [{"type": ended, "status": "True", **words}]}
    return status


def _pytorchjob_status(job: Object, owned: list[Object]) -> Object:
    counts: dict[str, dict[str, int]] = {kind: {} for kind in job["spec"]["pytorchReplicaSpecs"]}
    names = {"Running": "active", "Succeeded": "succeeded", "Failed": "failed"}
    for pod in owned:
        name = names.get(pod.get("status", {}).get("phase"))
        if pod["kind"] == "Pod" and name:
            kind = pod["metadata"]["labels"]["training.kubeflow.org/replica-type"].title()
            counts[kind][name] = counts[kind].get(name, 0) + 1
    failed = any(count.get("failed") for count in counts.values())
    reached = "Failed" if failed else "Succeeded" if counts["Master"].get("succeeded") else "Created"
    return {"replicaStatuses": counts, "conditions": [{"type": reached, "status": "True"}]}
