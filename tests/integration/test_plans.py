"""Plans by the real services: what they say of known rows, and what they leave behind."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.waiting import until_sync
from symbiont.api.training.v1.training_job_pb2 import TrainingPlan
from symbiont.cli.app import main
from symbiont.client import AsyncClient, Client, InvalidArgumentError, NotFoundError, training_spec
from symbiont.client.channels import Endpoints
from symbiont.common.artifacts import ArtifactStore

STAGES = ["reading", "loading", "training", "judging"]
PARTS = {"start", "tokenize", "train", "checkpoints", "evaluate", "store"}
# Two pairs of the same text, one of them with both labels, and three labels of which one is rare.
ROWS = [*labelled_rows(117), ("the bank was good", "good"), ("the bank  was good", "bad"), ("odd", "rare")]
ROWS += [("the card was great", "good"), ("the card was great", "good"), ("very odd", "rare")]


class Suite:
    """Tokenization and training over one folder, with a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(folder / "artifacts")
        self.tokenization = ServiceProcess("tokenization", folder, artifact_root=self.store.root)
        self.training = ServiceProcess(
            "training",
            folder,
            artifact_root=self.store.root,
            database_url=f"sqlite:///{folder}/symbiont.db",
            state_root=folder / "jobs",
            tokenization_address=self.tokenization.address,
            worker_threads=1,
            price_per_rank_hour=3.6,
            plan_seconds=1,
        )
        self.endpoints = Endpoints(training=self.training.address, tokenization=self.tokenization.address)
        self.client = Client(self.endpoints)

    def probes(self) -> list[psutil.Process]:
        """Returns the processes that try jobs out."""
        commands = [(process, " ".join(process.info["cmdline"] or [])) for process in psutil.process_iter(["cmdline"])]
        return [process for process, command in commands if "planning --spec " + str(self.folder) in command]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("plans"))
    suite.tokenization.start()
    suite.training.start()
    suite.client.register_base_model("tiny", folder=save_base(suite.folder / "tiny"))
    (suite.folder / "rows.csv").write_bytes(csv_of(ROWS))
    suite.client.create_dataset("rows", suite.folder / "rows.csv")
    yield suite
    suite.client.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


def spec_of(**changes: Any) -> Any:
    return training_spec(**{"base_model": "tiny", "dataset": "rows", "model": "mood", "epochs": 2, **changes})


def test_a_plan_says_what_the_job_will_take(suite: Suite) -> None:
    stages: list[str] = []
    spec = spec_of(max_tokens=8, checkpoint_interval=5)
    plan = suite.client.plan_training_job(spec, progress=stages.append)
    assert stages == STAGES
    # 98 of 123 rows are learnt from, 16 at a time, twice.
    assert plan.total_steps == 14
    assert plan.spec.lora.rank == 8
    assert plan.spec.lora.alpha == 16
    time, memory = plan.training_time_seconds, plan.memory_bytes
    assert 0 < time.low < time.value < time.high
    assert set(plan.seconds_by_part) == PARTS
    assert sum(plan.seconds_by_part.values()) == pytest.approx(time.value)
    assert all(seconds > 0 for seconds in plan.seconds_by_part.values())
    assert 1e8 < memory.low < memory.value < memory.high < 1e10
    # 3.6 an hour are a thousandth a second.
    assert plan.cost.value == pytest.approx(time.value / 1000)
    assert plan.cost.low < plan.cost.value < plan.cost.high
    check_texts(plan)
    # Nothing was queued, and nothing of the trial is left.
    assert list(suite.client.list_training_jobs()) == []
    assert [suite.store.list(kind) for kind in ("checkpoints", "bundles", "graphs")] == [[], [], []]
    assert list((suite.folder / "jobs" / "planning").iterdir()) == []
    assert left_over(suite) == []
    assert suite.probes() == []


def left_over(suite: Suite) -> list[Path]:
    """Returns what is in the store and is no artifact: what a trial stores goes with it."""
    return [path for path in Path(suite.store.root).glob("*/.*") if not path.parent.name.endswith(".ids")]


def check_texts(plan: TrainingPlan) -> None:
    texts = plan.texts
    assert (texts.row_count, texts.contradictory_count) == (123, 1)
    counted: dict[str, int] = {}
    for text, _ in ROWS:
        key = " ".join(text.split())
        counted[key] = counted.get(key, 0) + 1
    assert texts.duplicate_fraction == pytest.approx(sum(n for n in counted.values() if n > 1) / 123)
    assert texts.mean_tokens > texts.median_tokens / 2 > 0
    assert texts.median_tokens <= texts.p95_tokens <= texts.max_tokens
    assert 0 < texts.cut_fraction < 1
    assert 0 <= texts.unknown_fraction < 1
    assert 1 <= len(texts.languages) <= 5
    assert all(len(share.language) == 2 for share in texts.languages)
    assert 0 < sum(share.fraction for share in texts.languages) <= 1
    assert [(share.label, share.count) for share in plan.labels] == [("bad", 60), ("good", 61), ("rare", 2)]
    assert sum(share.fraction for share in plan.labels) == pytest.approx(1)
    codes = {warning.code for warning in plan.warnings}
    assert {"TEXTS_CUT", "CLASS_IMBALANCE", "LABELS_CONTRADICT"} <= codes
    assert plan.advice.WhichOneof("method")
    assert plan.advice.reasons


def test_the_job_that_follows_knows_its_plan(suite: Suite) -> None:
    spec = spec_of(method="head-only")
    plan = suite.client.plan_training_job(spec)
    job = suite.client.create_training_job(spec)
    assert job.estimated_time.ToMilliseconds() == pytest.approx(1000 * plan.training_time_seconds.value, abs=2)
    list(suite.client.watch_training_job(job.name))
    assert suite.client.get_training_job(job.name).usage.training_time.ToMilliseconds() > 0
    # Of another spec nothing is known.
    other = suite.client.create_training_job(spec_of(method="head-only", epochs=1))
    assert not other.HasField("estimated_time")
    suite.client.cancel_training_job(other.name)
    assert errors_counted(suite) == 1


def errors_counted(suite: Suite) -> float:
    with urllib.request.urlopen(f"http://{suite.training.metrics_address}/metrics") as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = [sample for family in families for sample in family.samples]
    (count,) = [s.value for s in samples if s.name == "symbiont_training_estimate_error_ratio_count"]
    return float(count)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_tokens": 65}, "spec.hyperparameters.max_tokens"),
        ({"target_modules": ["nowhere"]}, "spec.lora.target_modules"),
        ({"epochs": 0}, "spec.hyperparameters.epochs"),
        ({"labels": ["good", "fine"]}, "spec.classification.labels"),
    ],
)
def test_a_bad_spec_is_refused_by_name_and_nothing_begins(suite: Suite, changes: dict[str, Any], field: str) -> None:
    stages: list[str] = []
    with pytest.raises(InvalidArgumentError) as caught:
        suite.client.plan_training_job(spec_of(**changes), progress=stages.append)
    assert caught.value.field == field
    with pytest.raises(NotFoundError) as missing:
        suite.client.plan_training_job(spec_of(dataset="none"), progress=stages.append)
    assert missing.value.field == "spec.dataset"
    assert stages == []
    assert suite.probes() == []


def test_a_caller_that_leaves_takes_the_process_along(suite: Suite) -> None:
    spec = spec_of(epochs=7)

    async def leave() -> None:
        reached = asyncio.Event()
        async with AsyncClient(suite.endpoints) as client:
            call = client.plan_training_job(spec, progress=lambda stage: reached.set() if stage == "training" else None)
            task = asyncio.ensure_future(call)
            await reached.wait()
            assert len(suite.probes()) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(leave())
    until_sync(lambda: suite.probes() == [])
    assert left_over(suite) == []
    job = suite.client.create_training_job(spec)
    assert not job.HasField("estimated_time")
    suite.client.cancel_training_job(job.name)
    # A job that runs would have the next plan wait.
    until_sync(lambda: suite.client.get_training_job(job.name).HasField("end_time"))
    until_sync(lambda: list((suite.folder / "jobs" / "planning").iterdir()) == [])


def test_the_command_prints_it(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--training-address", suite.training.address]
    with pytest.raises(SystemExit) as ended:
        main(["plan", "mood", "--dataset", "rows", "--base", "tiny", "--epochs", "1", *where])
    assert not ended.value.code
    out = capsys.readouterr().out
    assert out.splitlines()[:4] == STAGES
    for word in ("training time", "memory", "cost", "steps", "recommended", "123", "LABELS_CONTRADICT"):
        assert word in out
    with pytest.raises(SystemExit):
        main(["plan", "mood", "--dataset", "rows", "--base", "tiny", "--epochs", "0", *where])
    assert "--epochs: " in capsys.readouterr().err
    assert all(text not in json.dumps(suite.training.events()) for text, _ in ROWS)
