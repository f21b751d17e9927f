"""Solutions of every kind on one host with a tiny random base: the whole suite, a real Triton, Chinese and English."""

import csv
import json
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server
from typing_extensions import override

from support.alertmanager import Alertmanager, receiver
from support.prometheus import HINT, Server, find
from support.stacks import ForkingStack, calling
from support.tiny import BAD, FILLER, GOOD, save_base
from support.waiting import until_sync
from symbiont.cli.app import main
from symbiont.client import Client, Input, NotFoundError, Prediction, RequestError, Text, training_spec
from symbiont.local.home import Home
from symbiont.local.stack import Stack
from symbiont.solutions.answering import say
from symbiont.solutions.figures import Figures
from symbiont.solutions.loading import RecipeError, load_recipe, shipped
from symbiont.solutions.promoting import NotPromotedError
from symbiont.solutions.recipe_serving import Chart
from symbiont.solutions.running import Run, check, run
from symbiont.solutions.warning.counting import TopicCounter, count_stream
from symbiont.solutions.warning.rules import ALERT, chart_group

HEAD = """\
solution: {name}
title: {name}
summary: Rows in Chinese and English.
language: mixed
base: {{id: tiny, folder: {folder}/base, license: MIT}}
gate: {{clean: true, deduplicate: null}}
"""
# The base is random and tiny: it learns where the rate is high.
METHOD = "method: {name: lora, epochs: 8, learning_rate: 0.03, max_tokens: 64}\n"
RECIPES = {
    "sentiment": """
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
  label: {column: label, map: {good: positive, bad: negative}}
  slices: [language]
evaluation:
  baselines: [majority, tfidf]
  gate: {not_worse: 0.05, floor: {accuracy: 0.6}}
  bars: [{metric: accuracy, above_baseline: 0.1, baseline: majority}]
  deletion_test: 20
""",
    "risk": """
data:
  train: [{file: train.csv}]
  split: {test_fraction: 0.25}
  label: {column: label}
  fields: {amount: number, purpose: category}
  slices: [language]
development: {fields: all, hidden_layers: [8], costs: {positive_label: bad, false_positive: 1, false_negative: 5}}
evaluation: {baselines: [majority, trees], deletion_test: 12}
""",
    "matching": """
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
  label: {column: label}
task: {head: embedding}
evaluation: {baselines: [tfidf]}
serving: {hand_over: {below: 0.9}, catalogue: {id: answers, source: {file: train.csv}, key: label, text: text}}
""",
    "reading": """
data:
  train: [{file: squad.json, layout: squad}]
  split: {test_fraction: 0.25, by: group}
  text: question
  pair: context
  label: {column: answers, kind: answers}
  group: title
task: {head: spans}
evaluation: {baselines: [overlap]}
serving: {hand_over: {below: 0.3}}
""",
    "departments": """
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
  label: {column: labels, kind: classes}
task: {head: multi-label}
""",
    "grading": """
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
  text: label
  pair: "{text}. 电话 bank. {text}"
  label: {column: language}
evaluation: {deletion_test: 12}
serving: {reasons: sentence, hand_over: {below: 0.8}}
""",
    "places": """
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
  label: {column: tags, kind: entities, words: text, map: {tone: tone}}
task: {head: entities}
evaluation: {baselines: [dictionary]}
""",
    "films": """
recommendation:
  ratings: {file: ratings.csv}
  items: {file: movies.csv}
  user: userId
  item: movieId
  rating: rating
  time: timestamp
  text: "{title}"
  cut: user
task: {head: embedding}
evaluation: {baselines: [popularity, als]}
""",
}


def write_tables(folder: Path) -> None:
    source = random.Random(0)
    for name, count in (("train", 160), ("test", 60)):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["text", "label", "labels", "amount", "purpose", "language", "tags"])
            for i in range(count):
                place = source.randrange(len(GOOD))
                telling, label = (GOOD if i % 2 else BAD)[place], "good" if i % 2 else "bad"
                words = [telling, *source.choices(FILLER, k=source.randint(2, 8)), telling]
                language = "en" if telling.isascii() else "zh"
                amount = source.randint(1, 50) + 50 * (i % 2)
                tags = " ".join("B-tone" if word == telling else "O" for word in words)
                cells = [" ".join(words), label, f"{label}|{language}", amount, source.choice("xy"), language, tags]
                table.writerow(cells)


def write_squad(folder: Path) -> None:
    source = random.Random(1)
    articles = []
    for i in range(40):
        word = source.choice(GOOD + BAD)
        before = " ".join(source.choices(FILLER, k=3)) + " "
        asked = {"id": str(i), "question": "what was it", "answers": [{"answer_start": len(before), "text": word}]}
        articles.append({"title": f"t{i}", "paragraphs": [{"context": f"{before}{word} 银行", "qas": [asked]}]})
    (folder / "squad.json").write_text(json.dumps({"data": articles}, ensure_ascii=False), encoding="utf-8")


def write_ratings(folder: Path) -> None:
    titles = [f"{GOOD[i % 6]} {FILLER[i % 10]} {i}" for i in range(12)]
    (folder / "movies.csv").write_text("\n".join(["movieId,title", *(f"{i},{t}" for i, t in enumerate(titles))]))
    lines = [f"u{u},{(u % 2) * 6 + i},5,{i}" for u in range(12) for i in range(6)]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines]))


@dataclass
class World:
    folder: Path
    client: Client
    stack: Stack
    found: dict[str, Figures] = field(default_factory=dict)

    def asked(self, name: str, most: int | None = None) -> Run:
        return Run(load_recipe(self.folder / f"{name}.yaml"), self.folder, self.folder / "out" / name, most)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("solutions")
    save_base(folder / "base")
    write_tables(folder)
    write_squad(folder)
    write_ratings(folder)
    for name, text in RECIPES.items():
        whole = HEAD.format(name=name, folder=folder) + METHOD + text
        (folder / f"{name}.yaml").write_text(whole, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched, ExitStack() as running:
        # Else the trial of a plan takes twenty seconds.
        patched.setenv("SYMBIONT_PLAN_SECONDS", "1")
        stack = running.enter_context(ForkingStack(Home(folder / "home")))
        stack.wait_ready()
        with calling(stack) as client:
            made = World(folder, client, stack)
            for name in RECIPES:
                made.found[name] = run(client, made.asked(name), lambda text: None)
            yield made


pytestmark = pytest.mark.timeout(900)


def test_every_kind_of_solution_is_served_and_reported(world: World) -> None:
    primary = {name: found.primary for name, found in world.found.items()}
    assert primary == {
        "sentiment": "accuracy", "risk": "accuracy", "matching": "mrr", "reading": "f1", "departments": "micro_f1",
        "films": "mrr", "grading": "accuracy", "places": "micro_f1",
    }  # fmt: skip
    for name, found in world.found.items():
        folder = world.folder / "out" / name
        assert Figures.model_validate_json((folder / "run.json").read_text()) == found
        assert found.version in (folder / "report.html").read_text()
        assert "<html" in (folder / "evaluation.html").read_text()
        assert found.latency.calls > 0
        assert found.bundle_digest == world.client.get_model_version(found.version).bundle_digest
        aliases = {one.alias: one.model_version.name for one in world.client.get_model(name).aliases}
        assert aliases["production"] == found.version


def test_what_is_learnt_is_better_than_chance_and_explained(world: World) -> None:
    sentiment = world.found["sentiment"]
    assert [bar.held for bar in sentiment.bars] == [True]
    (words,) = sentiment.deletions
    assert (words.part, words.told > words.random) == ("word", True)
    assert {(row.slice, row.value) for row in sentiment.slices} >= {("language", "en"), ("language", "zh")}
    risk = world.found["risk"]
    assert risk.value("roc_auc") is not None
    assert risk.value("mean_cost") is not None
    assert [one.baseline for one in world.found["films"].baselines] == ["popularity", "als"]
    # Of two fields the one that tells more is another one than the one at random.
    assert [(one.part, one.rows) for one in risk.deletions] == [("word", 12), ("field", 12)]
    (sentences,) = world.found["grading"].deletions
    assert (sentences.part, sentences.told >= sentences.random) == ("sentence", True)


def test_what_is_not_sure_is_left_to_a_person(world: World) -> None:
    for name, metric in (("grading", "accuracy"), ("reading", "f1"), ("matching", "recall_at_1")):
        handed, whole = world.found[name].value("handed_over"), world.found[name].value(metric)
        kept = world.found[name].value(f"kept_{metric}")
        assert handed is not None, name
        assert whole is not None, name
        assert 0 <= handed.value <= 1, name
        assert (kept is None) == (handed.value == 1), name
    for one in say(world.client, world.asked("grading").located.recipe, inputs_of(world)["grading"]):
        assert one.sure is not None
        assert one.to_person == (one.sure < 0.8)
    texts = [f"bank {word}" for word in GOOD]
    said = say(world.client, world.asked("sentiment").located.recipe, [Text(text) for text in texts])
    assert not any(one.to_person for one in said)
    reasons = [(text, one.reasons) for text, one in zip(texts, said, strict=True) if one.reasons]
    assert reasons
    for text, some in reasons:
        weights = [one.weight for one in some]
        assert all(one.text in text for one in some)
        assert weights == sorted(weights, reverse=True)
        assert weights[-1] > 0


def test_a_job_is_planned_where_everybody_shows_a_certificate(world: World) -> None:
    dataset = next(one.name for one in world.client.list_datasets() if "sentiment" in one.name)
    spec = training_spec(base_model="tiny", dataset=dataset, model="planned", epochs=1, max_tokens=32)
    assert world.client.plan_training_job(spec).total_steps > 0


def test_every_kind_of_solution_answers(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for name, inputs in inputs_of(world).items():
        recipe = world.asked(name).located.recipe
        if recipe.data is None:
            continue
        given = [Text(one) if isinstance(one, str) else one for one in inputs[:2]]
        said = say(world.client, recipe, given)
        assert len(said) == 2, name
        assert all(one.to_person for one in said if recipe.serving.hand_over and one.sure < 0.3), name
    text, where = f"{GOOD[0]} bank {GOOD[0]}", ["--home", str(world.stack.home.root)]
    with pytest.raises(SystemExit) as ended:
        main(["solutions", "ask", str(world.folder / "sentiment.yaml"), text, "--json", *where])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["text"], told["answer"]) == (text, "positive")
    with pytest.raises(SystemExit) as ended:
        main(["solutions", "ask", str(world.folder / "grading.yaml"), "good", "--pair", f"{GOOD[0]}. x.", *where])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(("en ", "zh "))


def test_a_second_run_finds_everything_done(world: World) -> None:
    jobs = [job.name for job in world.client.list_training_jobs()]
    datasets = [one.name for one in world.client.list_datasets()]
    again = run(world.client, world.asked("sentiment"), lambda text: None)
    assert again.version == world.found["sentiment"].version
    assert again.measured == world.found["sentiment"].measured
    assert [job.name for job in world.client.list_training_jobs()] == jobs
    assert [one.name for one in world.client.list_datasets()] == datasets
    assert world.client.get_promotion_policy("sentiment@production").revision == 1


MORE = """
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
  label: {column: label, map: {good: positive, bad: negative}}
  text: "{text} ask {language}@bank.example 信用违约"
gate: {deduplicate: null, anonymize: [email]}
method:
  epochs: 4
  learning_rate: 0.03
  max_tokens: 64
  seed: 0
  advise: {rungs: [head-only, lora], tolerance: 2}
development: {terms: [信用违约]}
evaluation: {gate: {not_worse: 0.5}}
serving: {release: {weight: 10, max_error_rate: 0.5}}
"""


@pytest.mark.slow
def test_terms_a_race_masks_and_releases_of_one_recipe(world: World) -> None:
    path, said = world.folder / "more.yaml", list[str]()
    head = HEAD.format(name="more", folder=world.folder).replace("gate: {clean: true, deduplicate: null}\n", "")
    path.write_text(head + MORE, encoding="utf-8")
    client, asked = world.client, world.asked("more")
    found = run(client, asked, said.append)
    # The base that was made has the term as a token, between those that begin and end a text.
    tokenizers = [client.get_base_model(base).tokenizer_digest for base in (found.base, "tiny")]
    made, shared = (len(client.tokenize(one, ["信用违约"]).ids) for one in tokenizers)
    assert found.base.startswith("bases/tiny-")
    assert made < shared
    jobs = [job for job in client.list_training_jobs() if job.spec.model == "models/more" and job.model_version]
    assert {job.spec.WhichOneof("method") for job in jobs} == {"head_only", "lora"}
    assert found.method in ("head-only", "lora")
    assert [line.partition(": jobs/")[0] for line in said if ": jobs/" in line] == ["head-only", "lora"]
    assert found.findings == ("pii email: 160",)
    assert client.predict("more", ["很好 信用违约"]).model_version == found.version

    # Other settings make another version, which is tried beside the one that serves, however often it is run.
    path.write_text(path.read_text(encoding="utf-8").replace("seed: 0", "seed: 1"), encoding="utf-8")
    for _ in range(2):
        tried = run(client, world.asked("more"), said.append)
    (release,) = client.list_releases("more@production")
    assert (release.candidate, release.baseline, release.weight) == (tried.version, found.version, 10)
    assert tried.version != found.version
    assert any(line.endswith("is tried on more@production already") for line in said)

    path.write_text(path.read_text(encoding="utf-8").replace("seed: 1", "seed: 2"), encoding="utf-8")
    with pytest.raises(NotPromotedError, match=rf"more@production tries {tried.version} already: .*release promote"):
        run(client, world.asked("more"), said.append)


def write_reports(path: Path) -> None:
    """Rows as the template for cities wants them: departments by what is told, in both languages, a day each."""
    source = random.Random(2)
    lines = ["text,departments,district,date"]
    for i in range(200):
        telling, said = (GOOD if i % 2 else BAD)[i % 6], " ".join(source.choices(FILLER, k=4))
        departments = "water" if i % 2 else "roads|parks"
        day = date(2024, 1, 1) + timedelta(days=i)
        lines.append(f"{telling} {said} 电话 13812345678,{departments},{'north' if i % 3 else 'south'},{day}")
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.slow
def test_the_template_for_cities_waits_for_a_second_person(world: World) -> None:
    write_reports(world.folder / "reports.csv")
    shipped_text = shipped()["city-reports"].read_text(encoding="utf-8")
    base = f"base: {{id: tiny, folder: {world.folder}/base, license: MIT}}"
    text = re.sub(r"base: .*", base, shipped_text).replace(
        "{name: lora, epochs: 5, max_tokens: 128}", METHOD[8:].strip()
    )
    (world.folder / "city-reports.yaml").write_text(
        text.replace("deduplicate: 0.9", "deduplicate: null"), encoding="utf-8"
    )
    with calling(world.stack, "ana") as ana, calling(world.stack, "bo") as bo:
        with pytest.raises(
            NotPromotedError, match=r"0 of 1 approvals by others than ana .*models approve city-reports/"
        ):
            run(ana, world.asked("city-reports"), lambda text: None)
        bo.approve("city-reports/versions/1", "production", "read the hardest rows")
        found = run(ana, world.asked("city-reports"), lambda text: None)
    assert (found.version, found.primary, found.judged) == ("models/city-reports/versions/1", "micro_f1", 40)
    assert found.findings == ("pii phone: 160",)
    assert {(row.slice, row.value) for row in found.slices} == {("district", "north"), ("district", "south")}
    assert world.client.predict("city-reports", ["满意 银行"]).model_version == found.version


def inputs_of(world: World) -> dict[str, Sequence[Input]]:
    """Rows of all solutions; of a catalogue and of films, what is embedded."""
    made: dict[str, Sequence[Input]] = {}
    for name in RECIPES:
        asked = world.asked(name)
        head = asked.located.recipe.task.head
        rows = check(asked).test[:12]
        made[name] = [row.text if head == "embedding" else row.asked(head) for row in rows]
    return made


def numbers(prediction: Prediction) -> np.ndarray[Any, Any]:
    """What a prediction says, as numbers, whatever its task."""
    if hasattr(prediction.result, "values"):
        return prediction.embedding
    told = re.findall(r"\d+\.\d+(?:e-?\d+)?", repr(prediction.result))
    return np.array([float(one) for one in told])


def test_mixed_in_the_same_batches_they_answer_as_each_alone(world: World) -> None:
    inputs = inputs_of(world)
    alone = {name: [world.client.predict(name, [one]).predictions[0] for one in some] for name, some in inputs.items()}
    calls = [(name, place) for place in range(12) for name, some in inputs.items() if place < len(some)]
    with ThreadPoolExecutor(24) as pool:
        mixed = list(pool.map(lambda call: world.client.predict(call[0], [inputs[call[0]][call[1]]]), calls * 3))
    for (name, place), answer in zip(calls * 3, mixed, strict=True):
        one, other = answer.predictions[0], alone[name][place]
        assert answer.bundle_digest == world.found[name].bundle_digest
        assert type(one.result) is type(other.result)
        np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-5)


def test_a_version_below_its_bound_does_not_serve(world: World) -> None:
    path = world.folder / "strict.yaml"
    text = (world.folder / "sentiment.yaml").read_text()
    path.write_text(text.replace("solution: sentiment", "solution: strict").replace("accuracy: 0.6", "accuracy: 1.01"))
    with pytest.raises(NotPromotedError, match=r"strict/versions/1 may not take over strict@production: .*(1\.01|101)"):
        run(world.client, world.asked("strict"), lambda text: None)
    with pytest.raises(NotFoundError):
        world.client.predict("strict", ["good"])


def test_nothing_starts_where_something_is_wrong(world: World) -> None:
    path = world.folder / "wrong.yaml"
    text = (world.folder / "sentiment.yaml").read_text().replace("solution: sentiment", "solution: wrong")
    path.write_text(text.replace("good: positive, ", ""))
    before = [one.name for one in world.client.list_datasets()]
    with pytest.raises(RecipeError, match=r"wrong\.yaml:\d+: data\.label\.map: the label 'good'"):
        run(world.client, world.asked("wrong"), lambda text: None)
    assert [one.name for one in world.client.list_datasets()] == before
    assert not (world.folder / "out/wrong").exists()


def test_the_command_runs_reports_and_says_what_is_missing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--home", str(world.stack.home.root)]
    file, data, out = str(world.folder / "sentiment.yaml"), str(world.folder), str(tmp_path / "out")
    with pytest.raises(SystemExit) as ended:
        main(["solutions", "run", file, "--data", data, "--out", out, *where])
    assert ended.value.code == 0
    assert "accuracy" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["solutions", "report", file, "--out", out])
    assert ended.value.code == 0
    assert "accuracy 0.1 better than majority  held" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["solutions", "explain", file, "--data", str(tmp_path)])
    assert ended.value.code == 1
    assert "train.csv does not exist: name its folder with --data" in capsys.readouterr().err


def test_prometheus_takes_the_rules_that_a_run_has_written(world: World) -> None:
    program = find("promtool")
    assert program, HINT
    files = sorted((world.folder / "out").glob("*/prometheus-rules.yml"))
    assert {file.parent.name for file in files} >= RECIPES.keys()
    checked = subprocess.run([program, "check", "rules", *map(str, files)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


class Watching(Server):
    """A Prometheus that scrapes one target and judges one group of rules."""

    def __init__(self, folder: Path, target: str, chart: Chart, alertmanager: str) -> None:
        super().__init__("prometheus", folder)
        self._target, self._chart, self._alertmanager = target, chart, alertmanager

    @override
    def arguments(self) -> list[str]:
        rules = self.write("rules.yml", {"groups": [chart_group("sentiment", self._chart)]})
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "solution", "static_configs": [{"targets": [self._target]}]}],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self._alertmanager]}]}]},
        }
        data = f"--storage.tsdb.path={self.folder / 'data'}"
        return [f"--config.file={self.write('prometheus.yml', config)}", data, "--rules.alert.resend-delay=1s"]

    def windows(self) -> int:
        """How many windows it has judged."""
        answer = self.http.get("/api/v1/query", params={"query": "max(symbiont:topic_rows:windows)"}).json()
        return int(float(answer["data"]["result"][0]["value"][1])) if answer["data"]["result"] else 0

    def alarmed(self) -> set[str]:
        """The topics that have alarmed."""
        asked = {"query": f'max by (topic) (max_over_time(ALERTS{{alertname="{ALERT}"}}[10m]))'}
        return {one["metric"]["topic"] for one in self.http.get("/api/v1/query", params=asked).json()["data"]["result"]}


@pytest.mark.slow
def test_a_surge_of_what_the_model_calls_bad_reaches_somebody(world: World, tmp_path: Path) -> None:
    text = f"{BAD[0]} bank {BAD[0]}"
    label = world.client.predict("sentiment", [text]).predictions[0].label
    chart = Chart(label=label, window="3s", weight=0.5, sigmas=4, least=10, cool_down=3, warm_up=3)
    registry = CollectorRegistry()
    counter = TopicCounter(registry, "sentiment", [label])
    counter.know("quiet")
    counter.know("loud")
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with receiver() as (webhook, heard), Alertmanager(tmp_path / "alertmanager", webhook) as alertmanager:
            target = f"127.0.0.1:{server.server_port}"
            with Watching(tmp_path / "prometheus", target, chart, alertmanager.address) as prometheus:
                until_sync(lambda: prometheus.windows() > chart.warm_up, 120)
                assert heard == []
                stream = [("loud", text)] * 60 + [("quiet", text)] * 3
                assert count_stream(world.client, "sentiment@production", stream, counter) == 63
                until_sync(lambda: (ALERT, "firing") in heard, 120)
                assert prometheus.alarmed() == {"loud"}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_watch_says_which_line_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    path = world.folder / "watched.yaml"
    text = (world.folder / "sentiment.yaml").read_text()
    path.write_text(f"{text}serving: {{model: sentiment}}\nmonitoring: {{chart: {{label: negative}}}}\n")
    lines = tmp_path / "lines"
    lines.write_text('{"topic": "a", "text": "good"}\n{"text": "no topic"}\n')
    with lines.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        with pytest.raises(SystemExit) as ended:
            main(["solutions", "watch", str(path), "--port", "0", "--home", str(world.stack.home.root)])
    assert ended.value.code == 1
    assert 'line 2: say {"topic": "...", "text": "..."}' in capsys.readouterr().err


def test_a_replay_tells_how_good_alarms_are(world: World, capsys: Any) -> None:
    path = world.folder / "replayed.yaml"
    text = (world.folder / "sentiment.yaml").read_text()
    days = ["date,topic,texts"]
    for day in range(1, 29):
        # Two of a kind a day, as the rows that were learnt.
        days.append(f"2024-02-{day:02},a,{GOOD[0]} bank {GOOD[0]}; {BAD[0]} bank {BAD[0]}")
    (world.folder / "news.csv").write_text("\n".join(days))
    more = {
        "serving": {"model": "sentiment"},
        "monitoring": {
            "chart": {"label": "negative", "weight": 0.5, "least": 4},
            "replay": {
                "source": {"file": "news.csv"},
                "text": "texts",
                "topic": "topic",
                "time": "date",
                "separator": "; ",
            },
        },
    }
    path.write_text(text + yaml.safe_dump(more))
    where = ["--home", str(world.stack.home.root)]
    options = [
        "--data",
        str(world.folder),
        "--surges",
        "1",
        "--replays",
        "1",
        "--picture",
        str(world.folder / "replay.svg"),
    ]
    with pytest.raises(SystemExit) as ended:
        main(["solutions", "replay", str(path), *options, *where])
    out = capsys.readouterr().out
    assert ended.value.code == 0, out
    assert "1 of 1 (100.0 %)" in out
    assert "0.00" in out
    assert (world.folder / "replay.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_service_that_refuses_is_said_as_it_says_it(world: World) -> None:
    path = world.folder / "long.yaml"
    text = (world.folder / "sentiment.yaml").read_text().replace("solution: sentiment", "solution: long")
    path.write_text(text.replace("max_tokens: 64", "max_tokens: 4096"))
    with pytest.raises(RequestError, match="max_tokens"):
        run(world.client, world.asked("long"), lambda text: None)
