"""Races and searches by the real service and real workers: what they advise, cut, refuse, and survive."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.sampling import few
from support.tasks import HEADS
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.advisor.advice import Advice
from symbiont.advisor.bench import Purse
from symbiont.advisor.race import RaceSettings, advise
from symbiont.advisor.rules import Fate
from symbiont.advisor.search import Findings, SearchSettings, search
from symbiont.advisor.space import parse_space
from symbiont.advisor.trials import methods_of
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.app import main
from symbiont.client import Client, Endpoints, FailedPreconditionError, InvalidArgumentError, training_spec

THREE = methods_of(["head-only", "lora", "full"])
# The base is random and tiny: it learns where the rate is high, and a rate of 0.5 wrecks it.
RATE, WRECKING_RATE = 0.03, 0.5
# LoRA is scaled so low that it does nothing: only who trains the base learns the telling words, whatever the base is.
FULL_WINS: dict[str, Any] = {"learning_rate": 0.003, "epochs": 8, "method": "lora", "rank": 1, "alpha": 1e-4}
FULL_WINS_WORDS = ["--base", "tiny", "--dataset", "rows", "--exhaustive"]
FULL_WINS_WORDS += [word for name, value in FULL_WINS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
FULL_WINS_WORDS += [word for method in THREE for word in ("--rung", method.replace("_", "-"))]


def plain_rows(count: int) -> list[tuple[str, str]]:
    """Rows whose one telling word stands three times: what any base makes of them can be told apart by a line."""
    source = random.Random(1)
    words = [(" ".join(["great" if i % 2 else "awful"] * 3), "good" if i % 2 else "bad") for i in range(count)]
    return [(f"{text} {source.choice(['the', 'bank', 'card'])}", label) for text, label in words]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("studies"), max_concurrent_jobs=2, price_per_rank_hour=3600, plan_seconds=1)
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(suite.folder / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(400)))
    suite.upload("plain", csv_of(plain_rows(200)))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


@pytest.fixture(scope="module")
def client(suite: Suite) -> Iterator[Client]:
    with Client(Endpoints(training=suite.training.address)) as client:
        yield client


class Listener:
    """Notes what a study says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.begun: list[str] = []

    def begin(self, title: str, job: pb.TrainingJob) -> None:
        self.begun.append(title)

    def event(self, title: str, event: pb.TrainingEvent) -> None:
        """Shows nothing."""

    def say(self, text: str) -> None:
        self.said.append(text)


def spec_of(model: str, **options: Any) -> pb.TrainingSpec:
    values = {"base_model": "tiny", "dataset": "rows", "model": model, "learning_rate": RATE, "epochs": 6}
    return training_spec(**{**values, **options})


def race(client: Client, model: str, settings: dict[str, Any] | None = None, **options: Any) -> Advice:
    chosen = {"study": f"{model}-advice", "methods": THREE, **(settings or {})}
    return advise(client, spec_of(model, **options), RaceSettings(**chosen), Listener())


def jobs_of(client: Client, model: str) -> list[pb.TrainingJob]:
    return list(client.list_training_jobs(model=model, oldest_first=True))


def what(advice: Advice) -> Any:
    """What a race has found, without its times."""
    chosen = advice.advised.method if advice.advised else None
    return [(rung.method, rung.fate, rung.value) for rung in advice.rungs], chosen, advice.metric


@pytest.fixture(scope="module")
def undisturbed(client: Client) -> Advice:
    return race(client, "whole", {"exhaustive": True}, **FULL_WINS)


@pytest.mark.slow
def test_full_is_advised_where_it_is_best_by_more_than_the_tolerance(client: Client, undisturbed: Advice) -> None:
    assert undisturbed.advised is not None
    assert undisturbed.advised.method == "full"
    values = {rung.method: rung.value or 0.0 for rung in undisturbed.rungs}
    assert values["full"] > max(values["head_only"], values["lora"]) + 0.005
    version = client.get_model_version(undisturbed.version)
    assert version.evaluation.metrics["accuracy"] == values["full"]
    # Every rung made a version, and none serves.
    assert client.get_model("whole").latest_version == 3
    assert not client.get_model("whole").aliases
    for rung in undisturbed.rungs:
        (run,) = rung.runs
        assert run.seconds > 0
        assert rung.cost == pytest.approx(run.seconds, rel=0.01)
        assert [point.step for point in run.curve.points] == sorted({point.step for point in run.curve.points})
        assert run.curve.parameters is not None
        total, trained = run.curve.parameters
        assert trained == total if rung.method == "full" else trained < total
    # The same rows were held out for all.
    assert {rung.row_count for rung in undisturbed.rungs} == {80}


def test_the_jobs_say_what_they_belong_to(client: Client, undisturbed: Advice) -> None:
    names = [job.request_id.rpartition("-")[0] for job in jobs_of(client, "whole")]
    assert names == ["whole-advice/head-only", "whole-advice/lora", "whole-advice/full"]


def test_the_head_alone_is_advised_where_it_suffices(client: Client, undisturbed: Advice) -> None:
    # The first worker of a service starts slowly, which is time of its job: that was another one. And so many epochs
    # that it is training which takes the time.
    listener = Listener()
    methods = methods_of(["head-only", "lora", "houlsby", "full"])
    spec = spec_of("plain", dataset="plain", epochs=20, patience=1000)
    advice = advise(client, spec, RaceSettings("plain-advice", methods), listener)
    assert advice.advised is not None
    assert advice.advised.method == "head_only"
    # Two dearer methods brought less than the tolerance: the last one was not even begun.
    assert [rung.fate for rung in advice.rungs] == [Fate.TRAINED, Fate.TRAINED, Fate.TRAINED, Fate.SKIPPED]
    assert len(jobs_of(client, "plain")) == 3
    assert "brought less than 0.5 points" in listener.said[-1]


@pytest.mark.slow
def test_what_is_hopelessly_behind_is_cancelled(client: Client) -> None:
    options = {"dataset": "plain", "learning_rate": WRECKING_RATE, "epochs": 20, "patience": 1000}
    settings = {"methods": methods_of(["head-only", "full"])}
    advice = race(client, "wrecked", settings, **options)
    assert [rung.fate for rung in advice.rungs] == [Fate.TRAINED, Fate.CUT]
    assert "points behind head-only" in advice.rungs[1].why
    head_only, full = jobs_of(client, "wrecked")
    assert (head_only.state, full.state) == (pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_CANCELLED)
    assert advice.advised is not None
    assert advice.advised.method == "head_only"
    # Begun again it finds both, and says the same.
    again = race(client, "wrecked", settings, **options)
    assert what(again) == what(advice)
    assert again.rungs[1].why == advice.rungs[1].why
    assert len(jobs_of(client, "wrecked")) == 2
    # Who wants to see the end of it says so.
    whole = race(client, "seen", {**settings, "exhaustive": True}, **options)
    assert [rung.fate for rung in whole.rungs] == [Fate.TRAINED, Fate.TRAINED]


def command(*words: str, suite: Suite) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"SYMBIONT_TRAINING_ADDRESS": suite.training.address}
    return subprocess.Popen(
        [sys.executable, "-m", "symbiont.cli.app", *words], env=environment, stdout=subprocess.DEVNULL
    )


def killed(process: "subprocess.Popen[bytes]", when: Callable[[], bool]) -> None:
    """Ends a process as soon as something is so, without a word."""
    until_sync(lambda: when() or process.poll() is not None, 90)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_race_survives_its_process(suite: Suite, client: Client, undisturbed: Advice) -> None:
    # In the middle of the first rung, and of the second.
    for count in (1, 2):
        process = command("advise", "killed", *FULL_WINS_WORDS, suite=suite)
        killed(process, lambda count=count: len(jobs_of(client, "killed")) == count)  # type: ignore[misc]
    advice = race(client, "killed", {"exhaustive": True}, **FULL_WINS)
    assert what(advice) == what(undisturbed)
    jobs = jobs_of(client, "killed")
    assert [job.spec.WhichOneof("method") for job in jobs] == THREE
    assert len({job.request_id for job in jobs}) == 3


@pytest.mark.slow
def test_dear_rungs_are_ordered_by_what_plans_foretell(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symbiont.advisor.race.FORECASTS_FROM_S", 0.0)
    listener = Listener()
    settings = RaceSettings("planned-advice", methods_of(["head-only", "lora", "full", "prefix"]), exhaustive=True)
    advice = advise(client, spec_of("planned", dataset="plain", epochs=1), settings, listener)
    foretold = {text.partition(":")[0]: float(text.split()[1]) for text in listener.said if "foretold" in text}
    assert foretold.keys() == {"lora", "prefix", "full"}
    climbed = [rung.method for rung in advice.rungs]
    assert climbed[0] == "head_only"
    # Full is the last whatever its training takes.
    assert climbed[-1] == "full"
    first, second = climbed[1:3]
    assert foretold[first] <= foretold[second]


@pytest.mark.parametrize(
    ("case", "kind", "metric"),
    few(
        [
            ("multi-label", "classes", "micro_f1"),
            ("score", "number", "spearman"),
            ("entities", "entities", "micro_f1"),
            ("spans", "answers", "f1"),
            ("embedding", "none", "mrr"),
        ],
        ("spans", "answers", "f1"),
    ),
)
def test_every_task_is_raced_by_what_says_most_of_it(
    client: Client, tmp_path: Path, case: str, kind: str, metric: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in HEADS[case].rows(60)))
    pairs = {"pair_column": "pair"} if case in ("spans", "embedding") else {}
    client.create_dataset(case, rows, label_kind=kind, **pairs)  # type: ignore[arg-type]
    settings = {"methods": methods_of(["head-only", "lora"])}
    advice = race(client, f"task-{case}", settings, dataset=case, epochs=2)
    assert advice.metric == metric
    assert advice.advised is not None
    job = advice.advised.best_run.job
    assert job.evaluation.primary_metric == metric
    assert advice.advised.value == job.evaluation.metrics[metric]
    assert all(rung.runs[0].curve.points for rung in advice.rungs)


@pytest.mark.slow
def test_close_methods_are_trained_with_more_seeds(client: Client) -> None:
    settings = {"methods": methods_of(["head-only", "lora"]), "seeds": 2}
    advice = race(client, "seeded", settings, dataset="plain", epochs=8)
    assert [len(rung.runs) for rung in advice.rungs] == [2, 2]
    seeds = [job.spec.hyperparameters.seed for job in jobs_of(client, "seeded")]
    assert seeds == [0, 0, 1, 1]
    assert advice.rungs[0].value == pytest.approx(sum(advice.rungs[0].measured) / 2)


def test_a_budget_holds_for_the_whole_study(client: Client) -> None:
    settings = {"purse": Purse(cost=1.5)}
    advice = race(client, "poor", settings, epochs=200, patience=1000)
    used = sum(job.usage.cost for job in jobs_of(client, "poor"))
    # What has been learned until then is a version.
    assert advice.rungs[0].stopped_by_budget
    assert advice.advised is not None
    assert advice.advised.method == "head_only"
    assert [rung.fate for rung in advice.rungs[1:]] == [Fate.SKIPPED] * 2
    assert "budget" in advice.rungs[1].why
    assert used >= 1.5
    assert len(jobs_of(client, "poor")) == 1


@pytest.mark.parametrize(
    ("settings", "options", "field"),
    [
        ({}, {"epochs": 0}, "training_job.spec.hyperparameters.epochs"),
        ({"purse": Purse(seconds=-1.0)}, {}, "training_job.budget.training_time"),
        ({}, {"max_tokens": 4096}, "training_job.spec.hyperparameters.max_tokens"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_begins(
    client: Client, settings: dict[str, Any], options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        race(client, "refused", settings, **options)
    assert caught.value.field == field
    assert jobs_of(client, "refused") == []


def findings_of(
    client: Client, folder: Path, model: str, texts: list[str], changes: dict[str, Any] | None = None, **options: Any
) -> Findings:
    spec = spec_of(model, **options)
    values = {"study": f"{model}-search", "journal": folder / f"{model}.journal", "trials": 4, **(changes or {})}
    return search(client, spec, parse_space(texts, spec), SearchSettings(**values), Listener())


SPACE = ["learning_rate=1e-3..3e-2:log", "rank=2,4,8"]


def found(findings: Findings) -> Any:
    return [(one.number, one.state, one.value, dict(one.values)) for one in findings.trials]


@pytest.fixture(scope="module")
def whole_search(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return findings_of(client, tmp_path_factory.mktemp("journals"), "searched", SPACE, {"pruner": "none"}, epochs=3)


def test_a_search_finds_what_is_best_of_what_it_tried(client: Client, whole_search: Findings) -> None:
    assert len(whole_search.trials) == 4
    best = whole_search.best
    assert best is not None
    assert best.value == max(one.value or 0.0 for one in whole_search.trials)
    assert whole_search.metric == "accuracy"
    job = client.get_training_job(best.job)
    assert job.model_version == best.version
    assert job.evaluation.metrics["accuracy"] == best.value
    assert job.spec.hyperparameters.learning_rate == best.spec.hyperparameters.learning_rate
    assert job.spec.lora.rank == best.spec.lora.rank


@pytest.mark.slow
def test_a_search_survives_its_process(suite: Suite, client: Client, whole_search: Findings, tmp_path: Path) -> None:
    words = ["search", "broken", "--base", "tiny", "--dataset", "rows", "--learning-rate", str(RATE), "--epochs", "3"]
    words += ["--storage", str(tmp_path / "broken.journal"), "--trials", "4", "--pruner", "none"]
    for text in SPACE:
        words += ["--search", text]
    for count in (1, 2):
        process = command(*words, suite=suite)
        killed(process, lambda count=count: len(jobs_of(client, "broken")) == count)  # type: ignore[misc]
    findings = findings_of(client, tmp_path, "broken", SPACE, {"pruner": "none"}, epochs=3)
    assert found(findings) == found(whole_search)
    jobs = jobs_of(client, "broken")
    assert len(jobs) == len({job.request_id for job in jobs}) == len(jobs_of(client, "searched"))
    # Once it is over it is only shown, and with more trials it goes on.
    again = findings_of(client, tmp_path, "broken", SPACE, {"pruner": "none"}, epochs=3)
    assert found(again) == found(findings)
    assert not again.runs
    more = findings_of(client, tmp_path, "broken", SPACE, {"pruner": "none", "trials": 5}, epochs=3)
    assert found(more)[:4] == found(findings)
    assert len(more.trials) == 5
    # Other settings are another study.
    with pytest.raises(ValueError, match="name a new one with --study"):
        findings_of(client, tmp_path, "broken", [*SPACE, "dropout=0,0.1"], epochs=3)


def test_who_leaves_a_search_leaves_its_job(suite: Suite, client: Client, tmp_path: Path) -> None:
    words = ["search", "left", "--base", "tiny", "--dataset", "rows", "--epochs", "1000", "--patience", "1000"]
    words += ["--storage", str(tmp_path / "left.journal"), "-s", "rank=2,4"]
    process = command(*words, suite=suite)
    until_sync(lambda: any(job.progress.step for job in jobs_of(client, "left")) or process.poll() is not None, 90)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    (job,) = jobs_of(client, "left")
    assert job.state == pb.JOB_STATE_RUNNING
    client.cancel_training_job(job.name)


@pytest.mark.slow
def test_a_pruned_trial_cancels_its_job(client: Client, tmp_path: Path) -> None:
    space = ["learning_rate=1e-9..5e-2:log"]
    options = {"method": "full", "epochs": 8, "batch_size": 8, "patience": 1000}
    findings = findings_of(client, tmp_path, "pruned", space, {"trials": 6, "parallel": 2}, **options)
    pruned = [one for one in findings.trials if one.state == "pruned"]
    assert pruned
    for one in pruned:
        assert client.get_training_job(one.job).state == pb.JOB_STATE_CANCELLED
        assert not one.version
    assert {job.state for job in jobs_of(client, "pruned")} == {pb.JOB_STATE_CANCELLED, pb.JOB_STATE_SUCCEEDED}
    assert findings.best is not None


@pytest.mark.slow
def test_the_method_may_vary_with_its_settings(client: Client, tmp_path: Path) -> None:
    space = ["method=head-only,lora", "rank=2,4", "epochs=1..3"]
    findings = findings_of(client, tmp_path, "methods", space, {"trials": 5, "pruner": "none"})
    for one in findings.trials:
        assert ("rank" in one.values) == (one.values["method"] == "lora")
        assert one.spec.WhichOneof("method") == str(one.values["method"]).replace("-", "_")


def test_an_end_of_the_space_that_is_refused_begins_nothing(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        findings_of(client, tmp_path, "outside", ["learning_rate=0.1..2"])
    assert caught.value.field == "training_job.spec.hyperparameters.learning_rate"
    assert jobs_of(client, "outside") == []
    assert not (tmp_path / "outside.journal").exists()


def test_a_search_ends_with_its_budget(client: Client, tmp_path: Path) -> None:
    findings = findings_of(client, tmp_path, "spent", SPACE, {"trials": 50, "purse": Purse(cost=2.0)}, epochs=2)
    assert 1 <= len(findings.trials) < 50
    assert findings.best is not None


def test_the_commands_print_the_advice_and_the_best_spec(
    suite: Suite, client: Client, undisturbed: Advice, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYMBIONT_TRAINING_ADDRESS", suite.training.address)
    with pytest.raises(SystemExit) as ended:
        main(["advise", "whole", *FULL_WINS_WORDS, "--alias", "staging", "--export", str(tmp_path / "race.svg")])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"advised: full ({undisturbed.version})" in out
    assert "head-only is cheaper and" in out
    assert "full" in (tmp_path / "race.svg").read_text()
    (alias,) = client.get_model("whole").aliases
    assert (alias.alias, alias.model_version.name) == ("staging", undisturbed.version)
    # It had all been trained before.
    assert len(jobs_of(client, "whole")) == 3
    search_words = [
        "--storage",
        str(tmp_path / "shown.journal"),
        "--trials",
        "2",
        "-s",
        "epochs=1..2",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["search", "shown", "--method", "lora", "--base", "tiny", "--dataset", "rows", *search_words])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "best: trial" in out
    assert "symbiont train shown --base tiny --dataset rows --method lora --epochs" in out


def test_a_cost_needs_a_price(suite: Suite, client: Client, tmp_path: Path) -> None:
    free = Suite(tmp_path)
    free.tokenization.start()
    free.training.start()
    try:
        free.register(save_base(tmp_path / "tiny"))
        free.upload("rows", csv_of(labelled_rows(40)))
        with Client(Endpoints(training=free.training.address)) as other, pytest.raises(FailedPreconditionError) as no:
            race(other, "priced", {"purse": Purse(cost=1.0)})
        assert no.value.reason == "NO_PRICE"
    finally:
        free.channel.close()
        free.training.stop()
        free.tokenization.stop()
