"""Searches of a service that trains at once: what is refused, what is granted, and whose trials they are."""

import threading
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from typing_extensions import override

from support.studied import Listener, StudiedService
from symbiont.advisor.bench import Bench, Purse
from symbiont.advisor.search import Findings, SearchSettings, search
from symbiont.advisor.space import parse_space
from symbiont.advisor.trials import trial_of
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.client import Client, InvalidArgumentError, training_spec

SPEC = training_spec(base_model="tiny", dataset="rows", model="m", method="adalora")


class Service(StudiedService):
    """Has jobs of one tenant, each over after ten seconds of training; those of `open` do not end."""

    def __init__(self, tenant: str) -> None:
        super().__init__()
        self.open: set[str] = set()
        self._tenant = tenant

    def create_training_job(
        self, spec: pb.TrainingSpec, *, request_id: str, budget: pb.Budget | None, **_: Any
    ) -> pb.TrainingJob:
        if spec.adalora.initial_rank < spec.adalora.rank:
            problem = "initial_rank: it must be at least the rank"
            raise InvalidArgumentError(grpc.StatusCode.INVALID_ARGUMENT, problem, field="initial_rank")
        name = f"jobs/{self._tenant}-{len(self.jobs)}"
        job = self.jobs[name] = pb.TrainingJob(name=name, request_id=request_id, state=pb.JOB_STATE_RUNNING)
        job.budget.CopyFrom(budget or pb.Budget())
        return job

    @override
    def get_training_job(self, name: str) -> pb.TrainingJob:
        job = self.jobs[name]
        if name not in self.open:
            job.state, job.model_version = pb.JOB_STATE_SUCCEEDED, f"models/m/versions/{len(self.jobs)}"
            job.usage.training_time.seconds = 10
            job.evaluation.metrics["accuracy"] = 0.9
        return job


def searched(service: Service, journal: Path, listener: Listener | None = None, **changes: Any) -> Findings:
    space = parse_space(["rank=4..16", "initial_rank=8..24"], SPEC)
    settings = SearchSettings("study", journal, **{"trials": 8, **changes})
    return search(cast(Client, service), SPEC, space, settings, cast(Any, listener or Listener()))


def test_settings_that_do_not_go_together_fail_their_trial_alone(tmp_path: Path) -> None:
    listener, service = Listener(), Service("acme")
    found = searched(service, tmp_path / "journal", listener)
    states = [one.state for one in found.trials]
    assert len(states) == 8
    assert {"complete", "fail"} == set(states)
    # Settings that were drawn twice are trained once.
    assert {one.job for one in found.trials if one.state == "complete"} == service.jobs.keys()
    made = len(service.jobs)
    assert any("cannot be trained: initial_rank: it must be" in text for text in listener.said)
    # Run again it shows the same, and asks for nothing.
    again = searched(service, tmp_path / "journal")
    assert [one.state for one in again.trials] == states
    assert len(service.jobs) == made


def test_trials_of_another_tenant_are_not_found(tmp_path: Path) -> None:
    searched(Service("acme"), tmp_path / "journal")
    other = Service("globex")
    with pytest.raises(ValueError, match=r"another tenant or service: jobs/acme-\d+ is not here; .*--study"):
        searched(other, tmp_path / "journal")
    assert other.jobs == {}


def bench(service: Service, purse: Purse) -> Bench:
    return Bench(cast(Client, service), "study", "m", "accuracy", cast(Any, Listener()), purse)


def granted(service: Service) -> list[tuple[float, float]]:
    return [(job.budget.training_time.ToTimedelta().total_seconds(), job.budget.cost) for job in service.jobs.values()]


def test_what_an_open_job_was_granted_is_granted_to_nobody_else() -> None:
    service = Service("acme")
    asked = bench(service, Purse(seconds=100, cost=4))
    service.open = {"jobs/acme-0"}
    asked.run(trial_of("study", "trial-0", SPEC), share=2)
    assert granted(service) == [(50, 2)]
    # Of the other half the second used ten seconds, and nothing that costs.
    asked.run(trial_of("study", "trial-1", SPEC), share=2)
    assert granted(service)[1] == (50, 2)
    assert asked.left() == Purse(40, 2)
    asked.run(trial_of("study", "trial-2", SPEC), share=2)
    assert granted(service)[2] == (40, 2)
    # One that is found open, as by a command that is given again, has its part, too.
    assert bench(service, Purse(seconds=100, cost=4)).left() == Purse(30, 2)


def test_parts_that_are_asked_for_at_once_are_one_purse() -> None:
    service = Service("acme")
    asked = bench(service, Purse(seconds=90))
    service.open = {f"jobs/acme-{number}" for number in range(3)}
    trials = [trial_of("study", f"trial-{number}", SPEC) for number in range(3)]
    threads = [threading.Thread(target=asked.run, args=(trial,), kwargs={"share": 3}) for trial in trials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seconds for seconds, _ in granted(service)] == [30, 30, 30]
    assert asked.left().empty
