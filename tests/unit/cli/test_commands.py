"""Every command against the fake suite: what it sends, and what it prints."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from grpc import StatusCode

from symbiont.api.inference.v1 import inference_pb2, release_pb2
from symbiont.api.training.v1 import model_pb2
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.watch import LineDisplay
from symbiont.client import Client, UnavailableError


@pytest.fixture
def trained(call: Any, rows: Path) -> Any:
    """The fake suite with one trained model, `m`."""
    assert call("datasets", "create", "rows", str(rows)).status == 0
    assert call("train", "m", "--dataset", "rows", "--base", "minilm").status == 0
    return call


def test_bases(call: Any, suite: Any) -> None:
    result = call("bases", "register", "minilm", "--package", "p", "--provider", "sbert", "--license", "MIT")
    assert "bases/minilm" in result.out
    assert suite.state.bases["bases/minilm"].provider == "sbert"
    assert "MIT" in call("bases", "list").out
    assert "sbert" in call("bases", "show", "minilm").out
    result = call("bases", "register", "minilm")
    assert (result.status, result.err) == (1, "error: name exactly one source: folder, package or hugging_face\n")


def test_bases_license_says_the_terms(call: Any, suite: Any) -> None:
    call("bases", "register", "minilm", "--package", "p", "--license", "MIT")
    shown = call("bases", "license", "minilm", "--tenant", "bank", "--until", "2199-12-31", "--noncommercial").out
    terms = suite.state.bases["bases/minilm"].terms
    assert (list(terms.tenants), terms.noncommercial, terms.expire_time.ToJsonString()) == (
        ["bank"],
        True,
        "2199-12-31T00:00:00Z",
    )
    assert "MIT" in shown
    assert "2199-12-3" in call("bases", "show", "minilm").out


def test_bases_quantize_takes_texts_from_all_of_the_file(call: Any, suite: Any, tmp_path: Path) -> None:
    call("bases", "register", "minilm", "--package", "p")
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"第 {n} text\n\n" for n in range(250)))
    result = call("bases", "quantize", "minilm", "--texts", str(texts), "--limit", "125")
    assert result.status == 0
    assert result.out.splitlines()[:2] == ["tokenizing", "quantizing"]
    assert "9" * 64 in result.out
    assert suite.state.quantized_with == [f"第 {n} text" for n in range(0, 250, 2)]
    texts.write_text("one\n")
    result = call("bases", "quantize", "minilm", "--texts", str(texts))
    assert result.status == 1
    assert "texts: too few" in result.err
    result = call("bases", "quantize", "minilm", "--texts", "nowhere.txt")
    assert result.status == 2
    assert "--texts" in result.err


def test_bases_adapt(call: Any, suite: Any, rows: Path) -> None:
    call("datasets", "create", "texts", str(rows))
    flags = "--tokenizer law --mask-fraction 0.3 --whole-words --method lora --rank 4 --epochs 0 --max-minutes 5"
    result = call("bases", "adapt", "own", "-d", "texts", "-b", "minilm", *flags.split(), "--watch")
    assert (result.status, result.out.splitlines()[0]) == (0, "jobs/j1")
    assert "succeeded: bases/own" in result.out
    assert "--base own" in result.out
    job = suite.state.jobs["jobs/j1"]
    assert (job.spec.derived_base, job.spec.base_model, job.spec.model) == ("bases/own", "bases/minilm", "")
    masked = pb.MaskedTokensHead(mask_fraction=0.3, whole_words=True, tokenizer="tokenizers/law")
    assert (job.spec.masked_tokens, job.spec.lora) == (masked, pb.LoraMethod(rank=4))
    assert job.spec.hyperparameters.HasField("epochs")
    shown = call("bases", "show", "own").out
    assert "bases/minilm" in shown
    assert "jobs/j1" in shown
    assert "bases/own" in call("jobs", "show", "j1").out
    assert "own" in call("jobs", "list").out
    plain = call("bases", "adapt", "other", "-d", "texts", "-b", "minilm")
    assert (plain.status, "symbiont jobs watch j2" in plain.err) == (0, True)
    assert suite.state.jobs["jobs/j2"].spec.WhichOneof("head") is None


def test_datasets(call: Any, suite: Any, rows: Path) -> None:
    result = call("datasets", "create", "rows", str(rows), "--label-column", "label")
    assert "datasets/rows" in result.out
    assert suite.state.uploads["datasets/rows"] == rows.read_bytes()
    assert "rows" in call("datasets", "list").out
    assert "csv" in call("datasets", "show", "rows").out
    assert call("datasets", "create", "rows", "nowhere.csv").status == 2


def test_train_sends_what_the_flags_say(call: Any, suite: Any, rows: Path) -> None:
    call("datasets", "create", "rows", str(rows))
    flags = (
        "--rank 4 --dropout 0 --epochs 2 --learning-rate 0.01 --holdout-fraction 0.3 --target-module query --label no"
    )
    result = call("train", "m", "-d", "rows", "-b", "minilm", *flags.split(), "--request-id", "r1")
    assert result.out == "jobs/j1\n"
    assert "symbiont jobs watch j1" in result.err
    spec = suite.state.jobs["jobs/j1"].spec
    assert (spec.model, spec.base_model, spec.dataset) == ("models/m", "bases/minilm", "datasets/rows")
    assert spec.lora == pb.LoraMethod(rank=4, dropout=0, target_modules=["query"])
    assert spec.hyperparameters == pb.Hyperparameters(epochs=2, learning_rate=0.01)
    assert spec.holdout_fraction == 0.3
    assert list(spec.classification.labels) == ["no"]
    assert "r1" in suite.state.requests


def test_train_refuses_contradictions(call: Any, suite: Any) -> None:
    result = call("train", "m", "-d", "rows", "-b", "minilm", "--method", "head-only", "--rank", "4")
    assert result.status == 1
    assert "head-only" in result.err
    assert not suite.state.jobs


def test_train_says_what_errors_cost_and_from_where_labels_hold(trained: Any, suite: Any) -> None:
    common = ["train", "m", "-d", "rows", "-b", "minilm"]
    assert trained(*common, "--cost", "a:b:c=20", "--cost", "fine:fraud=0.5").status == 0
    costs = suite.state.jobs["jobs/j2"].spec.classification.cost_matrix.costs
    # A label may have a colon in it; the last one parts the two.
    assert [(each.truth, each.answer, each.cost) for each in costs] == [("a:b", "c", 20), ("fine", "fraud", 0.5)]
    errors = ["--positive-label", "bad", "--false-positive-cost", "1", "--false-negative-cost", "20"]
    assert trained(*common, *errors).status == 0
    binary = suite.state.jobs["jobs/j3"].spec.classification.binary_costs
    assert binary == pb.BinaryCosts(positive_label="bad", false_positive=1, false_negative=20)
    assert trained(*common, "--head", "multi-label", "--tune-thresholds").status == 0
    assert suite.state.jobs["jobs/j4"].spec.multi_label.thresholds == pb.THRESHOLDS_BEST_F1
    wrong = trained(*common, "--cost", "a=20")
    assert wrong.status != 0
    assert "TRUE:ANSWERED=COST" in wrong.err


def test_train_names_a_module_and_its_settings(trained: Any, suite: Any) -> None:
    common = ["train", "m", "-d", "rows", "-b", "minilm", "--module", "crossed"]
    assert trained(*common, "--module-settings", '{"size": 8}').status == 0
    assert suite.state.jobs["jobs/j2"].spec.own_module == pb.OwnModule(name="crossed", settings='{"size": 8}')
    for wrong in ("{", "[8]"):
        refused = trained(*common, "--module-settings", wrong)
        assert refused.status != 0
        assert "it is no JSON" in refused.err


def test_train_names_the_field_at_fault(trained: Any) -> None:
    result = trained("train", "m", "-d", "rows", "-b", "minilm", "--epochs", "-1")
    assert result.status == 1
    assert "INVALID_ARGUMENT: --epochs: it must be at least 1" in result.err


def test_watch_shows_steps_and_the_end(trained: Any) -> None:
    result = trained("train", "m", "-d", "rows", "-b", "minilm", "--epochs", "3", "--watch")
    assert result.status == 0
    assert "j2: running" in result.out
    assert "step 2/2 loss 0.400" in result.out
    assert "hello from the worker" in result.out
    assert "on 10 held-out rows: accuracy 90.0 %, macro-F1 88.0 %" in result.out
    assert "succeeded: models/m/versions/1" in result.out
    assert "symbiont models promote m/versions/1" in result.out
    later = trained("jobs", "watch", "j2", "--after", "3").out
    assert "hello" in later
    assert "step" not in later


def test_watch_of_a_failed_job_is_status_1(trained: Any, suite: Any) -> None:
    job = suite.state.jobs["jobs/j1"]
    job.state = pb.JOB_STATE_FAILED
    job.failure.kind, job.failure.message = pb.FAILURE_KIND_OOM, "take a smaller batch"
    result = trained("jobs", "watch", "j1")
    assert result.status == 1
    assert result.err == "error: jobs/j1 failed OOM: take a smaller batch\n"


def test_a_job_that_its_budget_ended_says_what_it_made(trained: Any, suite: Any) -> None:
    job = suite.state.jobs["jobs/j1"]
    job.state = pb.JOB_STATE_FAILED
    job.failure.kind, job.failure.message = pb.FAILURE_KIND_BUDGET, "the budget of 60 s is used up"
    result = trained("jobs", "watch", "j1")
    assert result.status == 1
    assert "the budget of 60 s is used up" in result.err
    assert "what it had learnt is kept: models/m/versions/1; accuracy" in result.out
    assert "symbiont models promote m/versions/1" in result.out
    job.model_version = ""
    assert "kept" not in trained("jobs", "watch", "j1").out


@pytest.fixture
def endless(trained: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As `trained`, with a job `j2` that says nothing and never ends."""
    assert trained("train", "m", "--dataset", "rows", "--base", "minilm").status == 0
    over, watch = Event(), Client.watch_training_job

    def silent(self: Client, name: str, after_event_id: int = 0) -> Iterator[pb.TrainingEvent]:
        if name == "jobs/j2":
            over.wait(60)
        yield from watch(self, name, after_event_id)

    monkeypatch.setattr(Client, "watch_training_job", silent)
    yield trained
    over.set()


def test_of_several_jobs_the_one_that_is_not_there_is_said_at_once(endless: Any) -> None:
    result = endless("jobs", "watch", "j2", "typo")
    assert (result.status, "NOT_FOUND" in result.err) == (1, True)


def test_of_several_jobs_one_that_cannot_be_followed_ends_the_watch(
    endless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Client.watch_training_job

    def broken(self: Client, name: str, after_event_id: int = 0) -> Iterator[pb.TrainingEvent]:
        if name == "jobs/j1":
            raise UnavailableError(StatusCode.UNAVAILABLE, "it went away")
        return watch(self, name, after_event_id)

    monkeypatch.setattr(Client, "watch_training_job", broken)
    result = endless("jobs", "watch", "j2", "j1")
    assert (result.status, "it went away" in result.err) == (1, True)


def test_ctrl_c_in_a_watch_of_several_jobs_closes_the_display(endless: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Display(LineDisplay):
        def close(self) -> None:
            closed.append(True)

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("symbiont.cli.jobs.job_display", Display)
    monkeypatch.setattr("symbiont.cli.jobs.as_completed", interrupted)
    result = endless("jobs", "watch", "j1", "j2")
    assert (result.status, closed) == (0, [True])
    assert "watch them again with: symbiont jobs watch" in result.out


def test_what_is_refused_to_one_job_is_asked_of_the_others(trained: Any, suite: Any) -> None:
    assert trained("train", "m", "--dataset", "rows", "--base", "minilm").status == 0
    suite.state.jobs["jobs/j2"].state = pb.JOB_STATE_RUNNING
    result = trained("jobs", "cancel", "j1", "nowhere", "j2")
    assert result.status == 1
    assert [line.partition(":")[2].split(":")[0] for line in result.err.splitlines()] == [" j1", " nowhere"]
    assert "jobs/j2" in result.out


def test_ctrl_c_in_a_watch_detaches(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Client, name: str, after_event_id: int = 0) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "watch_training_job", interrupted)
    result = trained("jobs", "watch", "j1")
    assert result.status == 0
    assert "watch it again with: symbiont jobs watch j1" in result.out


def test_jobs(trained: Any) -> None:
    listed = trained("jobs", "list").out
    assert "j1" in listed
    assert "succeeded" in listed
    shown = trained("jobs", "show", "j1").out
    assert "models/m/versions/1" in shown
    assert "true \\ predicted" in shown
    result = trained("jobs", "cancel", "j1")
    assert "FAILED_PRECONDITION" in result.err


def test_models(trained: Any) -> None:
    assert trained("models", "promote", "m").out == "models/m: production -> 1\n"
    assert trained("models", "promote", "m/versions/1", "--alias", "canary").out == "models/m: canary -> 1\n"
    assert "canary -> 1" in trained("models", "list").out
    shown = trained("models", "show", "m").out
    assert "b" * 64 in shown
    assert "90.0 %" in shown
    assert "NOT_FOUND" in trained("models", "promote", "m/versions/7").err


@pytest.fixture
def two(trained: Any, suite: Any) -> Any:
    """The fake suite with two versions of `m`, of which the first serves."""
    suite.state.versions["models/m/versions/2"] = model_pb2.ModelVersion(name="models/m/versions/2")
    trained("models", "promote", "m/versions/1")
    return trained


def test_an_alias_goes_back(two: Any) -> None:
    two("models", "promote", "m/versions/2")
    assert two("models", "rollback", "m").out == "m@production -> 1\n"
    assert "has no alias 'staging'" in two("models", "rollback", "m@staging").err


def test_a_release_from_its_beginning_to_its_end(two: Any, suite: Any) -> None:
    assert two("models", "release", "show", "m").err == "error: no release runs on m@production\n"
    begun = two(
        *("models", "canary", "m/versions/2", "--weight", "10", "--shadow"),
        *("--max-error-rate", "0.02", "--max-label-shift", "0.1", "--min-samples", "50"),
    )
    assert begun.out.splitlines()[0] == "m@production: 1 -> 2, shadow, 10 % of calls, active"
    (release,) = suite.state.releases.values()
    rules = release.rules
    assert (rules.max_error_rate_increase, rules.max_label_shift, rules.min_samples) == (0.02, 0.1, 50)
    assert not rules.HasField("max_p99_latency_ratio")

    assert "production -> 1 (trying 2: 10 % + shadow)" in two("models", "list").out
    shown = two("models", "show", "m").out
    assert "candidate for production" in shown
    assert "release on m@production: 1 -> 2" in shown
    seen = two("models", "release", "show", "m").out
    assert "error rate at most 0.02 higher, labels at most 0.1 away; from 50 of each" in seen
    for text in ("12.5 ms", "yes 100.0 %", "2 of 8 rows (25.0 %)", "0.1250"):
        assert text in seen

    assert "25 % of calls" in two("models", "release", "weight", "m", "25").out
    scored = release_pb2.ScoredLabel(label="yes", probability=0.75)
    suite.state.disagreements["a"] = release_pb2.Disagreement(input_sha256="c" * 64, baseline=scored)
    listed = two("models", "release", "disagreements", "m").out
    assert "c" * 16 in listed
    assert "0.7500" in listed
    reason = "seen [rows 1-50], see [/wiki/m]"
    assert f"ended ({reason})" in two("models", "release", "end", "m", "--reason", reason).out
    assert "trying" not in two("models", "list").out

    two("models", "canary", "m/versions/2", "--weight", "1")
    assert "promoted" in two("models", "release", "promote", "m").out
    assert "production -> 2" in two("models", "list").out
    listed = two("models", "releases", "m").out
    assert reason in listed
    assert listed.count("production") == 2


def test_a_release_that_inference_has_not_seen_is_shown_all_the_same(two: Any, suite: Any) -> None:
    two("models", "canary", "m/versions/2", "--max-latency-ratio", "2")
    suite.state.unavailable["GetReleaseObservation"] = 1000
    shown = two("models", "release", "show", "m")
    assert (shown.status, "p99 at most 2 times" in shown.out) == (0, True)
    assert "nothing seen of it" in shown.out


def test_a_routing_key_goes_along(two: Any, suite: Any) -> None:
    two("predict", "m", "a good one", "--routing-key", "user-1")
    assert suite.state.routing_keys == ["user-1"]


def test_predict(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = trained("predict", "m", "a [good] one", "--top-k", "0").out
    assert "yes" in shown
    assert "0.7500" in shown
    assert "a [good] one" in shown
    assert "0.2500" in shown
    file = tmp_path / "texts.txt"
    file.write_text("good\n\nbad\n")
    lines = [json.loads(line) for line in trained("predict", "m", "--file", str(file), "--json").out.splitlines()]
    assert [(line["text"], line["classes"][0]["label"]) for line in lines] == [("good", "yes"), ("bad", "no")]
    assert lines[0]["model_version"] == "models/m/versions/1"
    monkeypatch.setattr("sys.stdin", io.StringIO("good\n" * 300))
    assert len(trained("predict", "m", "-f", "-", "--json").out.splitlines()) == 300
    assert trained("predict", "m").status == 2
    file.write_bytes("\ufeffone\u2028more\r\nsecond\x0ctext\n".encode())
    out = trained("predict", "m", "--file", str(file), "--json").out
    lines = [json.loads(line) for line in out.removesuffix("\n").split("\n")]
    assert [line["text"] for line in lines] == ["one\u2028more", "second\x0ctext"]
    folder = trained("predict", "m", "--file", ".")
    assert (folder.status, ". is a folder" in folder.err) == (2, True)
    missing = trained("predict", "m", "--file", "nowhere")
    assert (missing.status, "nowhere does not exist" in missing.err) == (2, True)


def test_generate(call: Any, suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call("bases", "register", "tiny", "--package", "p")
    result = call("generate", "tiny", "hello [there]", "--system", "be brief", "--stop", "x", "--seed", "0")
    assert result.out == "1:be brief 2:hello [there] \n"
    assert "bases/tiny" in result.err
    assert "eos" in result.err
    assert suite.state.generations[-1].sampling.HasField("seed")
    flags = "--raw --max-tokens 7 --temperature 0.5 --top-p 0.9 --top-k 3 --repetition-penalty 1.5"
    assert call("generate", "tiny", "go on", *flags.split()).out == "go on \n"
    sent = suite.state.generations[-1]
    assert (sent.prompt, sent.max_tokens, sent.sampling.top_k) == ("go on", 7, 3)
    assert not sent.sampling.HasField("seed")
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin"))
    answer = json.loads(call("generate", "tiny", "-", "--raw", "--json").out)
    assert (answer["text"], answer["finish_reason"], answer["base_digest"]) == ("from stdin ", "eos", "a" * 64)
    assert call("generate", "tiny", "a", "--raw", "--system", "b").status == 2
    assert "NOT_FOUND" in call("generate", "nobody", "a").err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["topics a"], ["sport", "0.7500"]),
        (["a", "--field", "income=2.5", "--field", "owner=true", "--field", "region=north"], ["SCORE", "3.5000"]),
        (["a", "--pair", "b"], ["0.5000", "a | b"]),
        (["who?", "--context", "Alice did it"], ["Alice", "0.7500", "0-5", "who? | Alice did it"]),
        (["who?", "--context", "nobody"], ["no answer", "0.2500"]),
        (["names Bob"], ["PER", "Bob", "0.5000", "6-9"]),
        (["vector"], ["SIZE", "0.6000 0.8000"]),
        (["a", "--candidate", "b", "--candidate", "c"], ["b", "1.0000", "c", "0.5000"]),
        (["a", "--catalogue", "k"], ["e1", "1.0000"]),
    ],
)
def test_predict_shows_every_kind_of_answer(trained: Any, arguments: list[str], shown: list[str]) -> None:
    result = trained("predict", "m", *arguments)
    assert result.status == 0, result.err
    for word in shown:
        assert word in result.out
    (line,) = trained("predict", "m", *arguments, "--json").out.splitlines()
    assert json.loads(line)["text"] == arguments[0]


def test_predict_sends_what_the_options_say(trained: Any, suite: Any) -> None:
    options = "--top-k 2 --threshold 0.25 --routing-key user-7 --priority batch"
    fields = ["--field", 'code="12"', "--field", "n=-1", "--field", "region=north-west"]
    trained("predict", "m@beta", "a", *options.split(), *fields)
    sent = suite.state.predicted[-1]
    assert (sent.model, sent.top_k, sent.threshold, sent.routing_key) == ("models/m@beta", 2, 0.25, "user-7")
    assert sent.priority == inference_pb2.PRIORITY_BATCH
    values = {field.name: getattr(field, field.WhichOneof("value")) for field in sent.instances[0].fields}
    assert values == {"code": "12", "n": -1.0, "region": "north-west"}


@pytest.mark.parametrize(
    "options",
    [
        ["--pair", "b", "--context", "c"],
        ["--candidate", "b", "--catalogue", "k"],
        ["--context", "c", "--field", "n=1"],
        ["--field", "n"],
        ["--field", "n=1", "--field", "n=2"],
        ["--priority", "soon"],
    ],
)
def test_predict_refuses_contradictions(trained: Any, suite: Any, options: list[str]) -> None:
    assert trained("predict", "m", "a", *options).status == 2
    assert not suite.state.predicted


def test_explain(trained: Any) -> None:
    shown = trained("explain", "m", "a [good] one").out
    assert "yes 0.7500" in shown
    assert "a [good] one" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["[good]", "+0.5000", "█" * 20] in lines
    assert ["a", "-0.2500", "█" * 10] in lines
    (line,) = trained("explain", "m", "good", "--label", "no", "--json").out.splitlines()
    found = json.loads(line)
    assert (found["label"], found["words"][0]["attribution"]) == ("no", 0.5)
    assert found["model_version"] == "models/m/versions/1"
