"""The kinds of objects that a worker can be on Kubernetes, and what their status says of its ranks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from symbiont.training.executors import WorkerStatus

# An object of the API, as JSON.
Object = Mapping[str, Any]


@dataclass(frozen=True)
class Ranks:
    """What an object tells of its ranks: how many there are to be, how many run, and whether one has ended."""

    wanted: int
    running: int
    has_ended: bool


@dataclass(frozen=True)
class Kind:
    """Where the API has a kind of object, and how its status is read."""

    group: str
    version: str
    name: str
    plural: str
    count: Callable[[Object], Ranks]

    @property
    def api_version(self) -> str:
        """What stands in an object's `apiVersion`."""
        return f"{self.group}/{self.version}"

    def status(self, workload: Object) -> WorkerStatus:
        """Returns how a worker stands: ALIVE while all its ranks run, UNKNOWN while one of them may yet come or go."""
        ranks = self.count(workload)
        if ranks.has_ended:
            return WorkerStatus.EXITED
        going = "deletionTimestamp" in workload["metadata"]
        return WorkerStatus.ALIVE if ranks.running >= ranks.wanted and not going else WorkerStatus.UNKNOWN

    def why(self, workload: Object) -> str:
        """Returns what Kubernetes says of an end; empty where it says nothing."""
        return " ".join(
            f"{condition.get('reason', '')}: {condition.get('message', '')}"
            for condition in _status(workload).get("conditions", ())
            if condition["type"] == "Failed" and condition["status"] == "True"
        )


def _status(workload: Object) -> Object:
    status: Object = workload.get("status") or {}
    return status


def _has_condition(workload: Object, *types: str) -> bool:
    conditions = _status(workload).get("conditions") or ()
    return any(condition["type"] in types and condition["status"] == "True" for condition in conditions)


def _sum(counts: Any, *names: str) -> int:
    return sum(count.get(name) or 0 for count in counts for name in names)


def _of_job(job: Object) -> Ranks:
    status = _status(job)
    # A rank that fails is counted before the Job as a whole is called failed: that waits for the others to end.
    ended = _has_condition(job, "Complete", "Failed", "FailureTarget") or _sum([status], "failed", "succeeded") > 0
    return Ranks(job["spec"].get("parallelism", 1), status.get("ready") or 0, ended)


def _of_jobset(jobset: Object) -> Ranks:
    # Counted in Jobs: one holds all ranks, and is ready when they all are.
    counts = _status(jobset).get("replicatedJobsStatus") or ()
    ended = _has_condition(jobset, "Completed", "Failed") or _sum(counts, "failed", "succeeded") > 0
    return Ranks(len(jobset["spec"]["replicatedJobs"]), _sum(counts, "ready"), ended)


def _of_pytorchjob(job: Object) -> Ranks:
    counts = (_status(job).get("replicaStatuses") or {}).values()
    ended = _has_condition(job, "Succeeded", "Failed") or _sum(counts, "failed", "succeeded") > 0
    return Ranks(_sum(job["spec"]["pytorchReplicaSpecs"].values(), "replicas"), _sum(counts, "active"), ended)


JOB = Kind("batch", "v1", "Job", "jobs", _of_job)
JOBSET = Kind("jobset.x-k8s.io", "v1alpha2", "JobSet", "jobsets", _of_jobset)
PYTORCH_JOB = Kind("kubeflow.org", "v1", "PyTorchJob", "pytorchjobs", _of_pytorchjob)
# By the setting that chooses what several ranks are.
GANGS = {"job": JOB, "jobset": JOBSET, "pytorchjob": PYTORCH_JOB}
