"""Plans as messages, and as the line that a trial says."""

import json

from pydantic import TypeAdapter

from support.registry import tiny_spec
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.training.convert import spec_from_proto
from symbiont.training.planning.convert import advice_to_proto, plan_progress_to_proto
from symbiont.training.planning.types import Estimate, LabelShare, MethodAdvice, TextReport, TrainingPlan
from symbiont.training.spec import HeadOnlyMethod, LoraMethod
from symbiont.training.types import PlanStage, Warning

TEXTS = TextReport(10, 12.5, 5, 60, 70, 0.25, 0.5, 2, 0.125, (("en", 0.75), ("zh", 0.25)))
PLAN = TrainingPlan(
    spec=tiny_spec(lora={"rank": 4, "alpha": 8.0, "target_modules": ["query"]}),
    training_time_seconds=Estimate(60, 50, 72),
    memory_bytes=Estimate(1e9, 9e8, 1.1e9),
    cost=None,
    texts=TEXTS,
    labels=(LabelShare("good", 4, 0.4), LabelShare("不好", 6, 0.6)),
    advice=MethodAdvice(LoraMethod(rank=16, alpha=32.0, target_modules=("query",)), ("One.", "Two.")),
    total_steps=12,
    seconds_by_part=(("start", 10.0), ("train", 50.0)),
    warnings=(Warning("SAMPLED", "not all"),),
)


def test_stages() -> None:
    assert [plan_progress_to_proto(stage).stage for stage in PlanStage] == pb.PlanStage.values()[1:]


def test_a_plan_is_one_line_of_json() -> None:
    adapter = TypeAdapter(TrainingPlan)
    for plan in (PLAN, TrainingPlan(**{**vars(PLAN), "advice": MethodAdvice(HeadOnlyMethod(), ())})):
        line = json.dumps(adapter.dump_python(plan, mode="json"))
        assert "\n" not in line
        assert adapter.validate_python(json.loads(line)) == plan


def test_a_plan_is_a_message() -> None:
    message = plan_progress_to_proto(PLAN).plan
    assert spec_from_proto(message.spec) == PLAN.spec
    time = message.training_time_seconds
    assert (time.low, time.value, time.high) == (50, 60, 72)
    assert not message.HasField("cost")
    assert [(share.label, share.count, share.fraction) for share in message.labels] == [
        ("good", 4, 0.4),
        ("不好", 6, 0.6),
    ]
    assert [(share.language, share.fraction) for share in message.texts.languages] == list(TEXTS.languages)
    texts = message.texts
    assert (texts.row_count, texts.mean_tokens, texts.median_tokens, texts.p95_tokens) == (10, 12.5, 5, 60)
    assert (texts.max_tokens, texts.cut_fraction, texts.duplicate_fraction) == (70, 0.25, 0.5)
    assert (texts.contradictory_count, texts.unknown_fraction) == (2, 0.125)
    assert (message.advice.lora.rank, message.advice.lora.alpha) == (16, 32)
    assert list(message.advice.reasons) == ["One.", "Two."]
    assert dict(message.seconds_by_part) == {"start": 10, "train": 50}
    assert [(w.code, w.text) for w in message.warnings] == [("SAMPLED", "not all")]
    priced = plan_progress_to_proto(TrainingPlan(**{**vars(PLAN), "cost": Estimate(2, 1, 3)})).plan
    assert (priced.cost.low, priced.cost.value, priced.cost.high) == (1, 2, 3)


def test_advice() -> None:
    alone = advice_to_proto(MethodAdvice(HeadOnlyMethod(), ("Why.",)))
    assert (alone.WhichOneof("method"), list(alone.reasons)) == ("head_only", ["Why."])
