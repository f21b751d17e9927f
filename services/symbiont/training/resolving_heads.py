"""The head of a spec, held against the labels of its datasets."""

from collections.abc import Mapping
from typing import Any

from symbiont.common.errors import InvalidArgument
from symbiont.training.costs import problems
from symbiont.training.data.rows import LabelKind
from symbiont.training.spec import (
    HEADS,
    BusinessFields,
    ClassificationHead,
    EmbeddingHead,
    EntitiesHead,
    MaskedTokensHead,
    MultiLabelHead,
    ScoreHead,
    SpansHead,
    TrainingSpec,
)
from symbiont.training.types import Dataset

# What a head learns from; for the first kind it is what is trained unless a spec says otherwise.
KINDS: Mapping[str, tuple[LabelKind, ...]] = {
    "classification": (LabelKind.CLASS,),
    "multi_label": (LabelKind.CLASSES, LabelKind.CLASS),
    "score": (LabelKind.NUMBER,),
    "entities": (LabelKind.ENTITIES,),
    "spans": (LabelKind.ANSWERS,),
    "embedding": (LabelKind.NONE, LabelKind.NUMBER, LabelKind.CLASS),
    # Labels are not read.
    "masked_tokens": tuple(LabelKind),
}
# Heads that may have layers before the last one, and business fields beside the text.
WITH_LAYERS = ("classification", "multi_label", "score")
# What is measured of each; the second says most of the task.
METRICS: Mapping[str, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "macro_f1"),
    "multi_label": ("loss", "micro_f1", "macro_f1", "subset_accuracy"),
    "score": ("loss", "spearman", "mae", "pearson", "rmse"),
    "entities": ("loss", "micro_f1", "macro_f1", "word_accuracy"),
    "spans": ("loss", "f1", "exact_match"),
    "masked_tokens": ("loss", "accuracy"),
}
METRICS_OF_EMBEDDINGS: Mapping[LabelKind, tuple[str, ...]] = {
    LabelKind.NONE: ("loss", "mrr", "recall_at_1"),
    LabelKind.NUMBER: ("loss", "spearman"),
    LabelKind.CLASS: ("loss", "nearest_accuracy"),
}
# Rows that an embedding is to be trained on at once, at least.
LEAST_COMPARED = 2
# In place of the name of the measure that says most.
PRIMARY = "primary"
DEFAULTS: Mapping[str, Any] = {
    "classification": ClassificationHead(),
    "multi_label": MultiLabelHead(),
    "score": ScoreHead(),
    "entities": EntitiesHead(),
    "spans": SpansHead(),
    "embedding": EmbeddingHead(),
    "masked_tokens": MaskedTokensHead(),
}


def resolve_head(
    spec: TrainingSpec, hidden_size: int, dataset: Dataset, judged_by: Dataset | None, under: str
) -> tuple[str, Any]:
    """Returns the field of the spec that chooses the head, and the head with what follows from the datasets.

    Raises:
        InvalidArgument: the datasets do not fit it; names the field under `under`.
    """
    kind = LabelKind(dataset.label_kind)
    _check_rows(spec, dataset, judged_by, under)
    if spec.masked_tokens is not None:
        return "masked_tokens", spec.masked_tokens
    usual = next(name for name, kinds in KINDS.items() if kinds[0] is kind)
    name = next((name for name in HEADS if getattr(spec, name) is not None), usual)
    settings = getattr(spec, name) or DEFAULTS[name]
    if kind not in KINDS[name]:
        problem = f"it learns from labels of the kind {' or '.join(KINDS[name])}; those of {spec.dataset} are {kind}"
        raise InvalidArgument(f"{under}.{name}", problem)
    _check_pairs(name, spec, dataset, under)
    if judged_by:
        _check_alike(spec, dataset, judged_by, under)
    if hasattr(settings, "labels"):
        settings = settings.model_copy(
            update={"labels": _labels(name, settings.labels, spec, dataset, judged_by, under)}
        )
    # An embedding needs no row of each on either side: who has no like is learnt from as what others are not.
    if kind is LabelKind.CLASS and name == "embedding":
        _check_likes(spec, dataset, under)
    elif kind is LabelKind.CLASS and not judged_by:
        _check_rare(spec, dataset, under)
    if isinstance(settings, ClassificationHead):
        _check_costs(settings, f"{under}.classification")
    if isinstance(settings, ScoreHead):
        _check_range(settings, spec, dataset, judged_by, under)
    if isinstance(settings, EmbeddingHead):
        _check_parts(spec, under)
        settings = _with_size(settings, spec, hidden_size, under)
    return name, settings


def resolve_fields(
    spec: TrainingSpec, head: str, dataset: Dataset, judged_by: Dataset | None, under: str
) -> BusinessFields | None:
    """Returns the business fields that a head is to get, with their kinds; raises as `resolve_head`."""
    if spec.hidden_layers and head not in WITH_LAYERS:
        raise InvalidArgument(f"{under}.hidden_layers", f"the head {head} has none: {' or '.join(WITH_LAYERS)} may")
    if spec.windows and head not in WITH_LAYERS:
        problem = f"it is for {' or '.join(WITH_LAYERS)}: entities and spans read long texts in windows without it"
        raise InvalidArgument(f"{under}.windows", problem)
    if spec.own_module and head not in WITH_LAYERS:
        raise InvalidArgument(f"{under}.own_module", f"the head {head} takes none: {' or '.join(WITH_LAYERS)} do")
    if spec.business_fields is None:
        return None
    field, known = f"{under}.business_fields", dict(dataset.fields)
    if head not in WITH_LAYERS:
        raise InvalidArgument(field, f"the head {head} takes none: {' or '.join(WITH_LAYERS)} do")
    names = spec.business_fields.names or tuple(known)
    if not names:
        raise InvalidArgument(field, f"{spec.dataset} has none: upload it with fields")
    for index, name in enumerate(names):
        if name not in known:
            there = ", ".join(known) or "none"
            raise InvalidArgument(f"{field}.names[{index}]", f"{spec.dataset} has no field {name!r}; it has {there}")
        if judged_by and dict(judged_by.fields).get(name) != known[name]:
            problem = f"it has no field {name!r} of the kind {known[name]}, which the model takes"
            raise InvalidArgument(f"{under}.evaluation_dataset", problem)
    kinds = tuple(f"FIELD_KIND_{known[name]}" for name in names)
    return spec.business_fields.model_copy(update={"names": names, "kinds": kinds})


def _check_costs(settings: ClassificationHead, under: str) -> None:
    for name in ("cost_matrix", "binary_costs"):
        for path, problem in problems(costs, settings.labels) if (costs := getattr(settings, name)) else ():
            raise InvalidArgument(f"{under}.{name}{path}", problem)


def check_metric(head: str, settings: Any, metric: str, dataset: Dataset, field: str) -> str:
    """Returns the measure by which checkpoints are compared; InvalidArgument names the field of an unknown one."""
    known = METRICS[head] if head != "embedding" else METRICS_OF_EMBEDDINGS[LabelKind(dataset.label_kind)]
    if isinstance(settings, ClassificationHead) and settings.costs:
        known = (*known, "mean_cost")
    if metric == PRIMARY:
        return known[1]
    if metric and metric not in known:
        raise InvalidArgument(field, f"the head {head} is not measured by {metric!r}: {', '.join((*known, PRIMARY))}")
    return metric or "loss"


def _check_rows(spec: TrainingSpec, dataset: Dataset, judged_by: Dataset | None, under: str) -> None:
    # A training that starts from a version is judged by the rows that have judged that one.
    if dataset.row_count < 2 and not judged_by and not spec.start_from:
        problem = f"{spec.dataset} has one row, of which nothing can be held out: give an evaluation_dataset"
        raise InvalidArgument(f"{under}.holdout_fraction", problem)


def _check_pairs(name: str, spec: TrainingSpec, dataset: Dataset, under: str) -> None:
    if name == "entities" and dataset.pair_column:
        problem = f"it names parts of one text; the rows of {spec.dataset} have two"
        raise InvalidArgument(f"{under}.{name}", problem)
    needs_two = name == "spans" or (name == "embedding" and dataset.label_kind != LabelKind.CLASS)
    if needs_two and not dataset.pair_column:
        problem = f"it learns from two texts in each row; upload {spec.dataset} with a pair column"
        raise InvalidArgument(f"{under}.{name}", problem)


def _check_alike(spec: TrainingSpec, dataset: Dataset, judged_by: Dataset, under: str) -> None:
    field = f"{under}.evaluation_dataset"
    if judged_by.label_kind != dataset.label_kind:
        problem = f"its labels are of the kind {judged_by.label_kind}, those of {spec.dataset} are {dataset.label_kind}"
        raise InvalidArgument(field, problem)
    if bool(judged_by.pair_column) != bool(dataset.pair_column):
        counts = ("two texts", "one") if judged_by.pair_column else ("one text", "two")
        raise InvalidArgument(field, f"its rows have {counts[0]}, those of {spec.dataset} have {counts[1]}")


def _labels(
    name: str, given: tuple[str, ...], spec: TrainingSpec, dataset: Dataset, judged_by: Dataset | None, under: str
) -> tuple[str, ...]:
    labels = given or dataset.labels
    if unknown := sorted(set(dataset.labels) - set(labels)):
        problem = f"{spec.dataset} has the label {unknown[0]!r}, which is not among them"
        raise InvalidArgument(f"{under}.{name}.labels", problem)
    if judged_by and (unknown := sorted(set(judged_by.labels) - set(labels))):
        problem = f"{spec.evaluation_dataset} has the label {unknown[0]!r}, unknown to the model"
        raise InvalidArgument(f"{under}.evaluation_dataset", problem)
    return labels


def _check_rare(spec: TrainingSpec, dataset: Dataset, under: str) -> None:
    rare = [label for label, count in dataset.label_counts if count < 2]
    if rare:
        problem = f"the label {rare[0]!r} of {spec.dataset} has one row: it cannot be held out too"
        raise InvalidArgument(f"{under}.holdout_fraction", problem)


def _check_likes(spec: TrainingSpec, dataset: Dataset, under: str) -> None:
    if all(count < 2 for _, count in dataset.label_counts):
        problem = f"no label of {spec.dataset} has two rows: what is alike is learnt from rows of one label"
        raise InvalidArgument(f"{under}.embedding", problem)


def _check_range(
    settings: ScoreHead, spec: TrainingSpec, dataset: Dataset, judged_by: Dataset | None, under: str
) -> None:
    if settings.minimum is None or settings.maximum is None:
        return
    for name, rows in ((spec.dataset, dataset), (spec.evaluation_dataset, judged_by)):
        if rows and not (settings.minimum <= rows.label_range[0] and rows.label_range[1] <= settings.maximum):
            low, high = rows.label_range
            problem = f"{name} has labels from {low:g} to {high:g}, which are not between the limits"
            raise InvalidArgument(f"{under}.score", problem)


def _check_parts(spec: TrainingSpec, under: str) -> None:
    """What is alike is learnt from what is not, among the rows that a rank computes at once."""
    rows = spec.hyperparameters.batch_size // spec.ranks
    if rows < LEAST_COMPARED:
        problem = (
            f"a rank would have {rows} of its rows at once, and an embedding learns nothing from fewer than "
            f"{LEAST_COMPARED}: say {LEAST_COMPARED * spec.ranks} or more"
        )
        raise InvalidArgument(f"{under}.hyperparameters.batch_size", problem)


def _with_size(settings: EmbeddingHead, spec: TrainingSpec, hidden_size: int, under: str) -> EmbeddingHead:
    """Fills in the size: without a layer of its own the hidden states of a base that is left as it is learn nothing."""
    if settings.size == 0 and spec.head_only:
        raise InvalidArgument(
            f"{under}.embedding.size", "without a layer the head alone has nothing that it could learn"
        )
    if settings.size is not None:
        return settings
    return settings.model_copy(update={"size": hidden_size if spec.head_only else 0})
