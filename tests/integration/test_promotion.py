"""The gate of an alias through the real services: real workers train, a process judges, the server lets pass or not."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.tiny import save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1.promotion_pb2 import (
    DECISION_KIND_APPROVED,
    DECISION_KIND_JUDGED,
    DECISION_KIND_POLICY_SET,
    DECISION_KIND_PROMOTED,
    DECISION_KIND_REFUSED,
    DECISION_KIND_ROLLED_BACK,
    LatencyLimitRule,
    NoSliceWorseRule,
    NotWorseRule,
    PromotionRule,
)
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED
from symbiont.cli.app import main
from symbiont.client import AsyncClient, Client, RequestError
from symbiont.client.channels import Endpoints

HYPER = {"epochs": 8, "batch_size": 8, "learning_rate": 0.02, "max_tokens": 16}
WORDS = {
    ("north", "good"): ["glad", "pleased", "happy"],
    ("north", "bad"): ["sad", "angry", "poor"],
    ("south", "good"): ["满意", "很好", "高兴"],
    ("south", "bad"): ["失望", "糟糕", "生气"],
}
RULES = [
    PromotionRule(not_worse=NotWorseRule(margin=0.3)),
    PromotionRule(no_slice_worse=NoSliceWorseRule(by=0.1, support=20, slices=["region"])),
    PromotionRule(latency_limit=LatencyLimitRule(p99_ms=10_000)),
]


def rows(count: int, seed: int, south_is_learnt: bool = True) -> str:
    """Returns rows of two regions with words of their own; those of the south may be labelled as it comes."""
    source, made = random.Random(seed), []
    for number in range(count):
        # Every fourth row is of the south: that it is lost does not show on the whole.
        region = "south" if number % 4 == 0 else "north"
        label = source.choice(["good", "bad"])
        # What judges is not learnt: the texts of each seed are its own.
        text = f"the bank {source.choice(WORDS[region, label])} {seed} {number}"
        said = label if south_is_learnt or region == "north" else {"good": "bad", "bad": "good"}[label]
        made.append({"text": text, "label": said, "region": region})
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in made)


def client_of(suite: Suite, principal: str) -> Client:
    endpoints = Endpoints(training=suite.training.address, tokenization=suite.tokenization.address)
    return Client(endpoints, principal=principal)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """With two versions of models/mood: the second has lost the south."""
    folder = tmp_path_factory.mktemp("suite")
    suite = Suite(folder, plan_seconds=1)
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(folder / "tiny"))
    with client_of(suite, "ml") as client:
        for name, content in {
            "all": rows(240, 0),
            "lost": rows(240, 0, south_is_learnt=False),
            "judged": rows(240, 1),
        }.items():
            (folder / f"{name}.jsonl").write_text(content)
            client.create_dataset(name, folder / f"{name}.jsonl", fields={"region": "CATEGORY"})
        for dataset in ("all", "lost"):
            train(suite, client, dataset)
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


def train(suite: Suite, client: Client, dataset: str) -> str:
    spec = suite.spec(
        dataset=f"datasets/{dataset}", evaluation_dataset="datasets/judged", lora={}, hyperparameters=HYPER
    )
    return ended(client, client.create_training_job(spec).name).model_version


def ended(client: Client, job: str):  # type: ignore[no-untyped-def]
    until_sync(lambda: client.get_training_job(job).HasField("end_time"), 120)
    found = client.get_training_job(job)
    assert found.state == JOB_STATE_SUCCEEDED, found.failure
    return found


def test_a_candidate_that_is_worse_on_one_slice_is_refused_with_its_name(suite: Suite) -> None:
    with client_of(suite, "ml") as client:
        policy = client.set_promotion_policy("mood", RULES)
        assert policy.principal == "ml"
        assert client.get_promotion_policy("mood") == policy
        # Nothing serves yet: nothing can be worse, but it must be judged all the same.
        with pytest.raises(RequestError, match="was not judged") as refused:
            client.promote("mood/versions/1")
        assert refused.value.reason == "PROMOTION_REFUSED"
        stages: list[str] = []
        assert client.judge("mood/versions/1", progress=stages.append).passed
        assert stages == ["reading", "candidate", "comparing"]
        client.promote("mood/versions/1")
        judged = client.judge("mood/versions/2", progress=stages.append)
        assert "incumbent" in stages
        assert not judged.passed
        assert judged.incumbent == "models/mood/versions/1"
        assert judged.row_count == 240
        broken = {finding.rule: finding for finding in judged.findings if not finding.passed}
        assert list(broken) == ["no_slice_worse"]
        assert "south" in broken["no_slice_worse"].text
        assert "south" in broken["no_slice_worse"].text_zh
        with pytest.raises(RequestError, match="south"):
            client.promote("mood/versions/2")
        release = client.create_release("mood", "mood/versions/2", shadow=True)
        with pytest.raises(RequestError, match="south"):
            client.promote_release(release.name)
        client.end_release(release.name)
        (alias,) = client.get_model("mood").aliases
        assert alias.model_version.name == "models/mood/versions/1"
        page = client.get_evaluation_report(judged.name, with_texts=True).content.decode()
        assert "south" in page
        assert "糟糕" in page or "满意" in page
        assert "the bank" not in client.get_evaluation_report(judged.name).content.decode()
        kinds = [decision.kind for decision in client.list_promotion_decisions("mood")]
        assert kinds == [
            DECISION_KIND_REFUSED,
            DECISION_KIND_REFUSED,
            DECISION_KIND_JUDGED,
            DECISION_KIND_PROMOTED,
            DECISION_KIND_JUDGED,
            DECISION_KIND_REFUSED,
            DECISION_KIND_POLICY_SET,
        ]


def test_a_second_person_must_approve(suite: Suite) -> None:
    with client_of(suite, "ana") as ana, client_of(suite, "bo") as bo, client_of(suite, "") as nobody:
        ana.set_promotion_policy("mood@trial", approvals=1)
        with pytest.raises(RequestError, match="0 of 1 approvals by others than ana"):
            ana.promote("mood/versions/1", "trial")
        with pytest.raises(RequestError, match="say who approves"):
            nobody.approve("mood/versions/1", "trial")
        ana.approve("mood/versions/1", "trial")
        with pytest.raises(RequestError, match="approvals by others"):
            ana.promote("mood/versions/1", "trial")
        with pytest.raises(RequestError, match="nobody says who promotes"):
            nobody.promote("mood/versions/1", "trial")
        approved = bo.approve("mood/versions/1", "trial", "looked at it")
        assert (approved.kind, approved.principal, approved.comment) == (DECISION_KIND_APPROVED, "bo", "looked at it")
        ana.promote("mood/versions/1", "trial")
        # An approval is for a version in place of the one that served then.
        with pytest.raises(RequestError, match="0 of 1"):
            ana.promote("mood/versions/2", "trial")
        bo.approve("mood/versions/2", "trial")
        ana.promote("mood/versions/2", "trial")
        assert ana.rollback("mood@trial").model_version.name == "models/mood/versions/1"
        latest = next(iter(ana.list_promotion_decisions("mood@trial")))
        assert (latest.kind, latest.model_version) == (DECISION_KIND_ROLLED_BACK, "models/mood/versions/1")


def test_a_new_policy_asks_for_a_new_judgement(suite: Suite) -> None:
    with client_of(suite, "ml") as client:
        client.set_promotion_policy("mood@staging", RULES[:1], evaluation_dataset="judged")
        assert client.judge("mood/versions/1", "staging").passed
        client.set_promotion_policy("mood@staging", RULES[:2], evaluation_dataset="judged")
        with pytest.raises(RequestError, match="was not judged"):
            client.promote("mood/versions/1", "staging")
        client.set_promotion_policy("mood@staging")
        client.promote("mood/versions/1", "staging")


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (PromotionRule(), "policy.rules[0]"),
        (PromotionRule(not_worse=NotWorseRule(margin=-1)), "policy.rules[0].not_worse.margin"),
        (PromotionRule(latency_limit=LatencyLimitRule()), "policy.rules[0].latency_limit.p99_ms"),
    ],
)
def test_a_rule_out_of_range_is_named(suite: Suite, rule: PromotionRule, field: str) -> None:
    with client_of(suite, "ml") as client:
        with pytest.raises(RequestError) as refused:
            client.set_promotion_policy("mood@other", [rule])
        assert refused.value.field == field
        assert not client.get_promotion_policy("mood@other").rules


def test_a_metric_that_the_task_lacks_is_named_when_it_is_judged(suite: Suite) -> None:
    with client_of(suite, "ml") as client:
        client.set_promotion_policy("mood@odd", [PromotionRule(not_worse=NotWorseRule(margin=0, metric="bleu"))])
        with pytest.raises(RequestError, match="bleu"):
            client.judge("mood/versions/1", "odd")
        assert [d.kind for d in client.list_promotion_decisions("mood@odd")] == [DECISION_KIND_POLICY_SET]


def test_a_version_is_made_again_to_the_byte_and_its_passport_says_so(suite: Suite, tmp_path: Path) -> None:
    with client_of(suite, "ml") as client:
        before = len(list(client.list_model_versions("mood")))
        job = client.reproduce("mood/versions/1", request_id="again")
        assert client.reproduce("mood/versions/1", request_id="again").name == job.name
        made = ended(client, job.name).reproduction
        version = client.get_model_version("mood/versions/1")
        assert (made.same_bundle, made.same_weights) == (True, True)
        assert made.bundle_digest == version.bundle_digest
        assert len(list(client.list_model_versions("mood"))) == before
        passport = client.get_model_passport("mood/versions/1")
        report = json.loads(client.get_evaluation_report("mood/versions/1", json=True).content)
    assert passport.model_version == version
    assert [(rows.names, rows.row_count) for rows in passport.datasets] == [
        (["datasets/all"], 240),
        (["datasets/judged"], 240),
    ]
    (base,) = passport.bases
    assert base.name == "bases/tiny"
    assert passport.environment.packages["torch"]
    assert passport.environment.threads == 1
    assert set(passport.files) == {"adapter.safetensors", "head.safetensors"}
    assert [again.same_bundle for again in passport.reproductions] == [True]
    assert {d.principal for d in passport.decisions} >= {"ml"}
    assert report["origin"]["version"] == "1"
    accuracy = next(line for line in report["headlines"] if line["metric"] == "accuracy")
    assert accuracy["estimate"]["value"] == pytest.approx(version.evaluation.accuracy)


def test_the_report_of_a_version_in_both_languages(suite: Suite) -> None:
    with client_of(suite, "ml") as client:
        english = client.get_evaluation_report("mood/versions/1")
        assert english.media_type == "text/html"
        assert b"models/mood" in english.content
        assert "版本" in client.get_evaluation_report("mood/versions/1", language="zh").content.decode()
        with pytest.raises(RequestError, match="none of en, zh"):
            client.get_evaluation_report("mood/versions/1", language="fr")
        with pytest.raises(RequestError, match="does not exist"):
            client.get_evaluation_report("mood/versions/77")


@dataclass(frozen=True)
class Result:
    exit_code: int
    output: str


@pytest.fixture
def run(suite: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `symbiont models ARGUMENTS` against the services, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setenv("SYMBIONT_TRAINING_ADDRESS", suite.training.address)

    def call(*arguments: str, principal: str = "ml") -> Result:
        with pytest.raises(SystemExit) as ended:
            main(["models", *arguments, "--principal", principal])
        captured = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else int(code is not None), captured.out + captured.err)

    return call


def test_the_command_does_all_of_it(run: Callable[..., Result], tmp_path: Path) -> None:
    assert "has no gate" in run("gate", "mood@cli").output
    shown = run(
        "gate", "mood@cli", "--not-worse", "0.3", "--class-worse", "0.2", "--floor", "macro_f1=0.9", "--approvals", "1"
    )
    for words in ("not_worse", "margin 0.3", "no_class_worse", "by 0.2", "metric macro_f1", "1 beside", "set by ml"):
        assert words in shown.output
    assert run("gate", "mood@cli").output == shown.output
    assert run("gate", "mood@cli", "--floor", "macro_f1").exit_code == 2
    judged = run("judge", "mood/versions/1", "--alias", "cli")
    assert judged.exit_code == 0
    assert "passed" in judged.output
    lost = run("judge", "mood/versions/2", "--alias", "cli")
    assert lost.exit_code == 1
    assert "broken" in lost.output
    assert "macro-F1" in lost.output
    assert run("promote", "mood/versions/1", "--alias", "cli").exit_code == 1
    assert (
        "bo approves" in run("approve", "mood/versions/1", "--alias", "cli", "--comment", "fine", principal="bo").output
    )
    assert run("promote", "mood/versions/1", "--alias", "cli").exit_code == 0
    listed = run("decisions", "mood@cli").output
    for words in ("promoted", "approved", "refused", "judged", "policy set", "fine"):
        assert words in listed
    passport = run("passport", "mood/versions/1").output
    for words in ("all", "learnt from", "judged by", "tiny", "packages"):
        assert words in passport
    assert json.loads(run("passport", "mood/versions/1", "--json").output)["spec"]["base_model"] == "bases/tiny"
    page = tmp_path / "report.html"
    assert run("report", "mood", "--out", str(page), "--language", "zh").exit_code == 0
    assert "版本 2" in page.read_text(encoding="utf-8")
    assert run("gate", "mood@cli", "--open").output == "mood@cli has no gate: every version may be promoted\n"


@pytest.mark.slow
def test_the_command_makes_a_version_again(run: Callable[..., Result]) -> None:
    made = run("reproduce", "mood/versions/2")
    assert made.exit_code == 0
    assert "the same bundle, byte for byte" in made.output


async def test_the_client_for_asyncio_judges(suite: Suite) -> None:
    endpoints = Endpoints(training=suite.training.address, tokenization=suite.tokenization.address)
    async with AsyncClient(endpoints, principal="ana") as client:
        await client.set_promotion_policy("mood@aio", RULES[:1])
        stages: list[str] = []
        decision = await client.judge("mood/versions/1", "aio", progress=stages.append)
        assert (decision.passed, decision.principal) == (True, "ana")
        assert stages
        kinds = [each.kind async for each in client.list_promotion_decisions("mood@aio")]
        assert kinds == [DECISION_KIND_JUDGED, DECISION_KIND_POLICY_SET]
        assert (await client.get_model_passport("mood/versions/1")).files
