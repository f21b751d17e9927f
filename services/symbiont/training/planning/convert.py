"""Plans as messages."""

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.training.convert import spec_to_proto
from symbiont.training.planning.types import Estimate, MethodAdvice, TextReport, TrainingPlan
from symbiont.training.spec import HeadOnlyMethod
from symbiont.training.types import PlanStage


def plan_progress_to_proto(progress: PlanStage | TrainingPlan) -> pb.PlanTrainingJobResponse:
    """A stage that begins, or the plan."""
    if isinstance(progress, TrainingPlan):
        return pb.PlanTrainingJobResponse(plan=plan_to_proto(progress))
    return pb.PlanTrainingJobResponse(stage=pb.PlanStage.Value(f"PLAN_STAGE_{progress}"))


def plan_to_proto(plan: TrainingPlan) -> pb.TrainingPlan:
    """What a job would take and what its rows are like."""
    return pb.TrainingPlan(
        spec=spec_to_proto(plan.spec),
        training_time_seconds=estimate_to_proto(plan.training_time_seconds),
        memory_bytes=estimate_to_proto(plan.memory_bytes),
        cost=estimate_to_proto(plan.cost) if plan.cost else None,
        texts=texts_to_proto(plan.texts),
        labels=[pb.LabelShare(label=s.label, count=s.count, fraction=s.fraction) for s in plan.labels],
        advice=advice_to_proto(plan.advice),
        total_steps=plan.total_steps,
        seconds_by_part=dict(plan.seconds_by_part),
        warnings=[pb.Warning(code=warning.code, text=warning.text) for warning in plan.warnings],
    )


def estimate_to_proto(estimate: Estimate) -> pb.Estimate:
    """A number that is not known for sure."""
    return pb.Estimate(value=estimate.value, low=estimate.low, high=estimate.high)


def texts_to_proto(texts: TextReport) -> pb.TextReport:
    """What the texts are like."""
    return pb.TextReport(
        row_count=texts.row_count,
        mean_tokens=texts.mean_tokens,
        median_tokens=texts.median_tokens,
        p95_tokens=texts.p95_tokens,
        max_tokens=texts.max_tokens,
        cut_fraction=texts.cut_fraction,
        duplicate_fraction=texts.duplicate_fraction,
        contradictory_count=texts.contradictory_count,
        unknown_fraction=texts.unknown_fraction,
        languages=[pb.LanguageShare(language=code, fraction=share) for code, share in texts.languages],
    )


def advice_to_proto(advice: MethodAdvice) -> pb.MethodAdvice:
    """What to train beside the head."""
    if isinstance(advice.method, HeadOnlyMethod):
        return pb.MethodAdvice(head_only=pb.HeadOnlyMethod(), reasons=advice.reasons)
    lora = advice.method
    method = pb.LoraMethod(rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout, target_modules=lora.target_modules)
    return pb.MethodAdvice(lora=method, reasons=advice.reasons)
