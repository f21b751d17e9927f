"""Both clients against real servers on loopback: every test runs once sync and once asyncio."""

import asyncio
import inspect
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from typing_extensions import override

from support.waiting import until_sync
from symbiont import client as c
from symbiont.api.inference.v1 import release_pb2
from symbiont.api.inference.v1.generation_pb2 import Sampling
from symbiont.api.training.v1 import dataset_pb2, model_pb2, training_job_pb2
from symbiont.api.training.v1.base_model_pb2 import LicenseTerms
from symbiont.client import retry
from symbiont.client.channels import Endpoints, Limits


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(250_000)))
    return path


def spec(**more: Any) -> training_job_pb2.TrainingSpec:
    return c.training_spec(base_model="minilm", dataset="rows", model="m", **more)


def make_job(client: Any, rows: Path) -> Any:
    client.create_dataset("rows", rows)
    return client.create_training_job(spec(), request_id="r1")


def test_the_clients_are_twins() -> None:
    def face(cls: type) -> dict[str, tuple[str, str | None]]:
        members = {k: v for k, v in vars(cls).items() if inspect.isfunction(v) and not k.startswith("_")}
        text = {k: str(inspect.signature(v)).replace("AsyncIterator", "Iterator") for k, v in members.items()}
        # What the asyncio client takes beside.
        text = {
            k: re.sub(r" \| AsyncIterable\[(Batch|catalogues\.Entry|Sequence\[str\])\]", "", v) for k, v in text.items()
        }
        return {k: (text[k], v.__doc__) for k, v in members.items()}

    assert face(c.Client) == face(c.AsyncClient)


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of an operator who acts for a bank; asked for before the client."""
    monkeypatch.setenv("SYMBIONT_PRINCIPAL", "ops")
    monkeypatch.setenv("SYMBIONT_TENANT", "bank")


def test_every_call_says_who_makes_it(acting: None, client: Any, suite: Any, rows: Path) -> None:
    client.register_base_model("minilm", package="p")
    client.quantize_base_model("minilm", [f"text {n}" for n in range(100)])
    job = make_job(client, rows)
    # Nothing is left of these events: whether the job has ended, it says itself.
    assert list(client.watch_training_job(job.name, after_event_id=6)) == []
    list(client.watch_training_job(job.name))
    list(client.read_training_log(job.name))
    list(client.list_models())
    client.predict("m", ["good"])
    list(client.predict_stream("m", [("first", ["good"])]))
    list(client.generate("minilm", "one"))
    streams = {"QuantizeBaseModel", "CreateDataset", "WatchTrainingJob", "ReadTrainingLog", "PredictStream", "Generate"}
    assert streams < set(suite.state.callers)
    assert "GetTrainingJob" in suite.state.callers
    assert set(suite.state.callers.values()) == {("ops", "bank")}


@pytest.mark.parametrize("kind", [c.Client, c.AsyncClient])
async def test_an_upload_says_who_the_client_was_made_for(kind: Any, suite: Any, rows: Path) -> None:
    client = kind(Endpoints(suite.address, suite.address, suite.address), principal="ana", tenant="bank")
    if isinstance(client, c.Client):
        with client:
            await asyncio.to_thread(client.create_dataset, "rows", rows)
    else:
        async with client:
            await client.create_dataset("rows", rows)
    assert suite.state.callers["CreateDataset"] == ("ana", "bank")


def test_registers_and_lists_over_pages(client: Any) -> None:
    for name in ("a", "b", "c"):
        base = client.register_base_model(name, package="p", provider="sbert", license="Apache-2.0")
    assert base.name == "bases/c"
    assert (base.source.package.package, base.provider, base.license) == ("p", "sbert", "Apache-2.0")
    assert [b.name for b in client.list_base_models()] == ["bases/a", "bases/b", "bases/c"]
    assert client.get_base_model("a") == client.get_base_model("bases/a")
    with pytest.raises(ValueError, match="exactly one source"):
        client.register_base_model("d", package="p", folder="x")


def test_changes_the_terms_of_a_base(client: Any) -> None:
    client.register_base_model("a", package="p", license="MIT", terms=LicenseTerms(tenants=["bank"]))
    made = client.update_base_model("a", provider="acme", terms=LicenseTerms(noncommercial=True))
    said = made.provider, made.license, list(made.terms.tenants), made.terms.noncommercial
    assert said == ("acme", "MIT", [], True)
    assert client.get_base_model("a") == made


def test_quantises_and_says_what_it_is_at(client: Any) -> None:
    client.register_base_model("a", package="p")
    stages: list[str] = []
    base = client.quantize_base_model("a", [f"text {n}" for n in range(100)], progress=stages.append)
    assert (base.name, base.quantized_digest, stages) == ("bases/a", "9" * 64, ["tokenizing", "quantizing"])
    assert client.quantize_base_model("bases/a", ["text"] * 100) == base
    with pytest.raises(c.InvalidArgumentError) as caught:
        client.quantize_base_model("a", [])
    assert caught.value.field == "texts"
    with pytest.raises(TypeError):
        client.quantize_base_model("a", "one text")


def test_uploads_in_chunks(client: Any, suite: Any, rows: Path) -> None:
    seen: list[tuple[int, int]] = []
    dataset = client.create_dataset("rows", rows, label_column="label", progress=lambda *at: seen.append(at))
    size = rows.stat().st_size
    assert suite.state.uploads["datasets/rows"] == rows.read_bytes()
    assert (dataset.format, dataset.label_column, dataset.row_count) == (
        dataset_pb2.DATASET_FORMAT_CSV,
        "label",
        250_000,
    )
    assert [s for s, _ in seen] == [*range(1 << 20, size, 1 << 20), size]
    assert {total for _, total in seen} == {size}


def test_an_upload_is_sent_again_as_a_whole(client: Any, suite: Any, rows: Path) -> None:
    suite.state.unavailable["CreateDataset"] = 1
    client.create_dataset("rows", rows)
    assert suite.state.uploads["datasets/rows"] == rows.read_bytes()


def test_a_wrong_file_fails_before_a_call(client: Any, suite: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.create_dataset("rows", tmp_path / "none.csv")
    with pytest.raises(ValueError, match="no dataset format"):
        client.create_dataset("rows", tmp_path / "rows.xlsx")
    assert not suite.state.calls


def test_an_error_carries_all_that_the_status_says(client: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty.tsv"
    empty.touch()
    with pytest.raises(c.InvalidArgumentError) as caught:
        client.create_dataset("rows", empty)
    error = caught.value
    assert (error.code, error.reason, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_FILE", "chunk")
    assert error.message == "chunk: the file is empty"
    assert re.fullmatch("[0-9a-f]{32}", error.request_id)
    with pytest.raises(c.NotFoundError) as missing:
        client.get_model("nobody")
    assert (missing.value.reason, missing.value.field) == ("NO_SUCH_RESOURCE", "")


def test_a_job_is_checked_and_not_made(client: Any, rows: Path) -> None:
    client.create_dataset("rows", rows)
    checked = client.check_training_job(spec(epochs=2))
    assert (checked.name, checked.spec.hyperparameters.epochs) == ("", 2)
    with pytest.raises(c.InvalidArgumentError):
        client.check_training_job(spec(epochs=0))
    assert list(client.list_training_jobs()) == []


def test_the_same_request_id_gives_the_same_job(client: Any, rows: Path) -> None:
    job = make_job(client, rows)
    assert client.create_training_job(spec(), request_id="r1").name == job.name
    assert client.create_training_job(spec()).name != job.name
    with pytest.raises(c.AlreadyExistsError):
        client.create_training_job(spec(epochs=2), request_id="r1")
    assert [j.name for j in client.list_training_jobs()] == ["jobs/j1", "jobs/j2"]
    assert [j.name for j in client.list_training_jobs(states=["failed"], model="m", oldest_first=True)] == []
    with pytest.raises(ValueError, match="'done' is no state of a job; say one of queued, starting"):
        client.list_training_jobs(states=["done"])
    assert client.get_training_job("j1").spec == spec()


def test_unavailable_is_tried_again_when_idempotent(client: Any, suite: Any, rows: Path) -> None:
    job = make_job(client, rows)
    suite.state.unavailable.update({"GetModel": 2, "CancelTrainingJob": 1})
    assert client.get_model("m").latest_version == 1
    assert suite.state.calls["GetModel"] == 3
    with pytest.raises(c.UnavailableError):
        client.cancel_training_job(job.name)
    assert suite.state.calls["CancelTrainingJob"] == 1
    with pytest.raises(c.FailedPreconditionError):
        client.cancel_training_job(job.name)


def test_a_failure_that_takes_long_to_show_is_tried_again(make_client: Any, suite: Any, rows: Path) -> None:
    """As that of a machine that vanished, which keepalive finds."""
    client = make_client(Limits(patience=0.4))
    make_job(client, rows)
    suite.state.seconds["GetModel"] = 0.6
    suite.state.unavailable["GetModel"] = 1
    assert client.get_model("m").latest_version == 1
    assert suite.state.calls["GetModel"] == 2


def test_retries_end(client: Any, suite: Any) -> None:
    suite.state.unavailable["GetModel"] = 1000
    with pytest.raises(c.UnavailableError, match="ordered by the test"):
        client.get_model("m")
    assert 2 < suite.state.calls["GetModel"] < 12


@pytest.mark.parametrize("breaks", [[], [2, 0, 1], [-1, 3, -1]])
def test_a_watch_misses_nothing(client: Any, suite: Any, rows: Path, breaks: list[int]) -> None:
    job = make_job(client, rows)
    suite.state.jobs[job.name].state = training_job_pb2.JOB_STATE_RUNNING
    suite.state.breaks = list(breaks)
    events = list(client.watch_training_job(job.name))
    assert [e.event_id for e in events] == [1, 2, 3, 4, 5, 6]
    assert len(suite.state.watched_after) == len(breaks) + 1
    suite.state.watched_after.clear()
    assert [e.event_id for e in client.watch_training_job(job.name, after_event_id=4)] == [5, 6]
    assert suite.state.watched_after == [4]


def test_a_watch_that_was_silent_for_long_is_taken_up_again(make_client: Any, suite: Any, rows: Path) -> None:
    client = make_client(Limits(watch_patience=0.5))
    job = make_job(client, rows)
    suite.state.breaks, suite.state.silence = [2], 1.0
    assert [e.event_id for e in client.watch_training_job(job.name)] == [1, 2, 3, 4, 5, 6]


def test_a_watch_of_a_service_that_stays_away_ends(make_client: Any, suite: Any, rows: Path) -> None:
    client = make_client(Limits(watch_patience=0.5))
    job = make_job(client, rows)
    suite.state.breaks = [0] * 1000
    with pytest.raises(c.UnavailableError, match="ordered by the test"):
        list(client.watch_training_job(job.name))


@pytest.mark.parametrize(("tail", "breaks"), [(0, []), (0, [8, 8, 20]), (10, [20])])
def test_a_log_that_is_followed_misses_nothing(client: Any, suite: Any, tail: int, breaks: list[int]) -> None:
    suite.state.log, suite.state.log_breaks = b"step 1\nstep 2\nstep 3\nstep 4\n", list(breaks)
    read = b"".join(client.read_training_log("j1", tail_bytes=tail, follow=True))
    assert read == suite.state.log[-tail if tail else 0 :]
    assert len(suite.state.log_offsets) == len(breaks) + 1


def test_a_log_that_is_not_followed_is_read_once(client: Any, suite: Any) -> None:
    suite.state.unavailable["ReadTrainingLog"] = 1
    with pytest.raises(c.UnavailableError):
        list(client.read_training_log("j1"))


def test_a_watch_after_the_end_ends(client: Any, rows: Path) -> None:
    job = make_job(client, rows)
    assert list(client.watch_training_job(job.name, after_event_id=6)) == []
    with pytest.raises(c.NotFoundError):
        list(client.watch_training_job("nobody"))


def test_a_watch_survives_a_restart_of_the_service(client: Any, suite: Any, rows: Path) -> None:
    job = make_job(client, rows)
    suite.state.breaks = [2]
    events = client.watch_training_job(job.name)
    assert [next(events).event_id, next(events).event_id] == [1, 2]
    suite.stop()
    timer = threading.Timer(0.5, suite.start)
    timer.start()
    assert [e.event_id for e in events] == [3, 4, 5, 6]
    timer.join()


def test_promotes_and_predicts(client: Any, rows: Path) -> None:
    make_job(client, rows)
    version = next(iter(client.list_model_versions("m")))
    assert client.get_model_version("m/versions/1") == version
    assert client.promote("m/versions/1").aliases[0].alias == "production"
    assert client.promote(version.name, alias="canary").aliases[0].alias == "canary"
    assert [m.name for m in client.list_models()] == ["models/m"]
    answer = client.predict("m@production", ["good", "bad " * 50])
    assert [(p.label, p.probability, p.truncated) for p in answer.predictions] == [
        ("yes", 0.75, False),
        ("no", 0.75, True),
    ]
    assert answer.stages.infer == pytest.approx(3)
    assert answer.model_version == "models/m/versions/1"
    assert len(client.predict("m", ["good"], top_k=1).predictions[0].classes) == 1
    with pytest.raises(c.InvalidArgumentError) as caught:
        client.predict("m", ["good", ""])
    assert caught.value.field == "instances[1].text"
    with pytest.raises(TypeError):
        client.predict("m", "one string")


def tried(client: Any, suite: Any, rows: Path) -> None:
    """Model m with two versions, of which the first serves."""
    make_job(client, rows)
    suite.state.versions["models/m/versions/2"] = model_pb2.ModelVersion(name="models/m/versions/2")
    client.promote("m/versions/1")


def test_takes_an_alias_back(client: Any, suite: Any, rows: Path) -> None:
    tried(client, suite, rows)
    client.promote("m/versions/2")
    suite.state.unavailable["RollbackModelAlias"] = 1
    assert client.rollback("m").model_version.name == "models/m/versions/1"
    # The version that is to go is named, so that a second request for the same changes nothing.
    assert client.rollback("m@production", "m/versions/2").model_version.name == "models/m/versions/1"
    with pytest.raises(ValueError, match="models/m has no alias 'staging'"):
        client.rollback("m@staging")


def test_runs_a_release(client: Any, suite: Any, rows: Path) -> None:
    tried(client, suite, rows)
    rules = model_pb2.ReleaseRules(max_label_shift=0.25, min_samples=50)
    release = client.create_release("m", "m/versions/2", weight=10, rules=rules)
    assert (release.name, release.baseline) == ("models/m/aliases/production/releases/r1", "models/m/versions/1")
    assert (release.weight, release.shadow, release.rules) == (10, False, rules)
    assert client.get_release(release.name.removeprefix("models/")) == release
    assert client.update_release(release.name, weight=0).weight == 0
    changed = client.update_release(release.name, shadow=True)
    assert (changed.weight, changed.shadow) == (0, True)
    seen = client.get_release_observation(release.name)
    assert (seen.candidate.model_version, seen.shadow.row_count) == ("models/m/versions/2", 8)
    for name in "abc":
        suite.state.disagreements[name] = release_pb2.Disagreement(input_sha256=name)
    assert [found.input_sha256 for found in client.list_disagreements(release.name)] == ["a", "b", "c"]
    assert client.end_release(release.name, "enough").end_reason == "enough"
    for _ in range(2):
        client.promote_release(client.create_release("m@production", "models/m/versions/2").name)
    assert client.get_model("m").aliases[0].model_version.name == "models/m/versions/2"
    assert len(list(client.list_releases("m"))) == len(list(client.list_releases("m@production"))) == 3
    assert list(client.list_releases("m@staging")) == []


def test_disagreements_are_those_of_one_process(make_client: Any, make_suite: Any) -> None:
    fakes = make_suite(), make_suite()
    for origin, fake in zip("ab", fakes, strict=True):
        fake.state.releases["models/m/aliases/production/releases/r1"] = model_pb2.Release()
        for number in range(300):
            row = release_pb2.Disagreement(input_sha256=f"{origin}{number}")
            fake.state.disagreements[f"{number:03d}"] = row
    both = "ipv4:" + ",".join(fake.address for fake in fakes)
    client = make_client(endpoints=Endpoints(both, both, both))
    # Calls go to one and the other in turn.
    found = [list(client.list_disagreements("m/aliases/production/releases/r1")) for _ in range(4)]
    assert {len(rows) for rows in found} == {300}
    assert all(len({row.input_sha256[0] for row in rows}) == 1 for rows in found)


def test_a_release_is_not_begun_twice_by_itself(client: Any, suite: Any, rows: Path) -> None:
    tried(client, suite, rows)
    suite.state.unavailable["CreateRelease"] = 1
    with pytest.raises(c.UnavailableError):
        client.create_release("m", "m/versions/2")
    assert suite.state.calls["CreateRelease"] == 1


def test_a_routing_key_goes_along(client: Any, suite: Any, rows: Path) -> None:
    tried(client, suite, rows)
    client.predict("m", ["good"], routing_key="user-1")
    client.predict("m", ["good"])
    assert suite.state.routing_keys == ["user-1", ""]


def test_wait_ready(client: Any, suite: Any) -> None:
    suite.set_serving(False)
    with pytest.raises(c.UnavailableError, match="NOT_SERVING"):
        client.wait_ready(0.3)
    timer = threading.Timer(0.3, suite.set_serving, [True])
    timer.start()
    client.wait_ready(10)
    timer.join()


def test_all_services_share_the_time_until_they_are_ready(
    make_client: Any, make_suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "LONGEST_DELAY_S", 0.1)
    fakes = [make_suite() for _ in range(3)]
    for fake in fakes:
        fake.set_serving(False)
    client = make_client(endpoints=Endpoints(*(fake.address for fake in fakes)))
    timers = [threading.Timer(at, fake.set_serving, [True]) for at, fake in zip((1.5, 3), fakes[:2], strict=True)]
    for timer in timers:
        timer.start()
    began = time.monotonic()
    with pytest.raises(c.UnavailableError, match="NOT_SERVING"):
        client.wait_ready(2)
    # With two seconds for each of them it would be five.
    assert time.monotonic() - began < 4
    for timer in timers:
        timer.join()


def test_a_refusal_is_not_waited_out(make_client: Any) -> None:
    asked: list[str] = []

    class Refusing(health_pb2_grpc.HealthServicer):
        @override
        def Check(self, request: Any, context: Any) -> Any:
            asked.append(request.service)
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token has ended")

    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(Refusing(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        with pytest.raises(c.RequestError, match="the token has ended") as caught:
            make_client(endpoints=Endpoints(address, address, address)).wait_ready(30)
    finally:
        server.stop(0).wait()
    assert (caught.value.code, len(asked)) == (grpc.StatusCode.UNAUTHENTICATED, 1)


def test_generates_as_it_comes(client: Any, suite: Any) -> None:
    client.register_base_model("tiny", package="p")
    parts = list(client.generate("tiny", "one two", max_tokens=5, stop=["x"], sampling=Sampling(seed=0)))
    assert "".join(part.delta.text for part in parts) == "one two "
    assert (parts[0].start.served_generator.base_model, parts[-1].end.output_tokens) == ("bases/tiny", 2)
    (request,) = suite.state.generations
    assert (request.base_model, request.prompt, request.max_tokens, list(request.stop)) == (
        "bases/tiny",
        "one two",
        5,
        ["x"],
    )
    assert request.sampling.HasField("seed")
    turns = [("system", "a"), ("user", "b"), ("assistant", "c")]
    parts = list(client.generate("tiny", messages=turns))
    assert "".join(part.delta.text for part in parts) == "1:a 2:b 3:c "


def test_a_generation_is_asked_for_again_only_before_it_begins(client: Any, suite: Any) -> None:
    client.register_base_model("tiny", package="p")
    suite.state.unavailable["Generate"] = 2
    parts = list(client.generate("tiny", "one two"))
    assert "".join(part.delta.text for part in parts) == "one two "
    assert suite.state.calls["Generate"] == 3
    heard: list[str] = []
    with pytest.raises(c.UnavailableError):
        heard.extend(part.delta.text for part in client.generate("tiny", "one break two"))
    assert "".join(heard) == "one break "
    assert suite.state.calls["Generate"] == 4


def test_leaving_a_generation_ends_it(client: Any, suite: Any) -> None:
    client.register_base_model("tiny", package="p")
    for part in client.generate("tiny", "one hang"):
        if part.delta.text == "hang ":
            break
    until_sync(lambda: suite.state.calls["left"] == 1)


def test_a_generation_that_is_refused(client: Any) -> None:
    with pytest.raises(c.NotFoundError):
        list(client.generate("nobody", "a"))
    client.register_base_model("tiny", package="p")
    with pytest.raises(c.InvalidArgumentError) as caught:
        list(client.generate("tiny", "a", sampling=Sampling(top_p=2)))
    assert caught.value.field == "sampling.top_p"
    for wrong in ({}, {"prompt": "a", "messages": []}, {"messages": [("robot", "a")]}):
        with pytest.raises(ValueError, match=r"exactly one|robot"):
            list(client.generate("tiny", **wrong))
