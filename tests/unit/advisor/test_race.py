from typing import Any, cast

import pytest

from support.studied import Listener, StudiedService
from symbiont.advisor.advice import Advice
from symbiont.advisor.bench import Purse
from symbiont.advisor.race import RaceSettings, advise
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.client import Client, training_spec

METHODS = ("head_only", "lora", "full")
VALUES = {"head_only": 0.6, "lora": 0.9, "full": 0.9}


class Service(StudiedService):
    """Trains each job at once, for so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self._seconds = seconds

    def create_training_job(self, spec: pb.TrainingSpec, *, request_id: str, **_: Any) -> pb.TrainingJob:
        number = len(self.jobs) + 1
        job = pb.TrainingJob(name=f"trainingJobs/{number}", request_id=request_id, state=pb.JOB_STATE_SUCCEEDED)
        job.model_version = f"models/m/versions/{number}"
        job.usage.training_time.seconds = self._seconds
        job.evaluation.metrics["accuracy"] = VALUES[spec.WhichOneof("method") or "lora"]
        self.jobs[job.name] = job
        return job


def race(service: Service, seconds: float, seeds: int = 1, tolerance: float = 0.5) -> Advice:
    spec = training_spec(base_model="tiny", dataset="rows", model="m")
    settings = RaceSettings("study", METHODS, tolerance, seeds, purse=Purse(seconds=seconds))
    return advise(cast(Client, service), spec, settings, cast(Any, Listener()))


def found(advice: Advice) -> list[tuple[str, str, int]]:
    return [(rung.method, rung.fate.value, len(rung.runs)) for rung in advice.rungs]


def test_a_race_that_its_budget_ended_is_found_again() -> None:
    service = Service(seconds=100)
    first = race(service, 180)
    assert found(first) == [("head_only", "trained", 1), ("lora", "trained", 1), ("full", "skipped", 0)]
    again = race(service, 180)
    assert found(again) == found(first)
    assert again.advised is not None
    assert again.advised.method == "lora"
    assert len(service.jobs) == 2


def test_a_greater_tolerance_still_looks_at_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = ("head_only", "lora", "houlsby", "adalora", "full")
    monkeypatch.setitem(globals(), "METHODS", methods)
    values = {"head_only": 0.888, "lora": 0.935, "houlsby": 0.942, "adalora": 0.92, "full": 0.96}
    for method, value in values.items():
        monkeypatch.setitem(VALUES, method, value)
    service = Service(seconds=10)
    first = race(service, 1000, tolerance=0.5)
    assert [rung.fate.value for rung in first.rungs] == ["trained"] * 5
    again = race(service, 1000, tolerance=1.0)
    assert found(again) == found(first)
    assert again.advised is not None
    assert again.advised.method == "full"


def test_seeds_that_are_there_are_found_again_without_a_budget() -> None:
    service = Service(seconds=100)
    first = race(service, 450, seeds=3)
    assert found(first) == [("head_only", "trained", 1), ("lora", "trained", 2), ("full", "trained", 2)]
    assert found(race(service, 450, seeds=3)) == found(first)
    assert len(service.jobs) == 5
