"""A spec held against the base model and the datasets that it names."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from symbiont.common.access.views import owner_of
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound
from symbiont.training.own_modules import installed, unknown
from symbiont.training.resolving_heads import check_metric, resolve_fields, resolve_head
from symbiont.training.spec import (
    LEARNING_RATES,
    AdaLoraMethod,
    HoulsbyMethod,
    LoraMethod,
    TrainingSpec,
)
from symbiont.training.starting import Start, start_with
from symbiont.training.store import Store
from symbiont.training.types import BaseModel, Dataset, Inputs

SPEC = "training_job.spec"
DEFAULT_MAX_TOKENS = 256
# What a text has room for at least.
MIN_TOKENS = 8
# What is changed unless told otherwise, by the names that each family of encoders gives it: of LoRA and AdaLoRA, the
# query and value projections; of Houlsby, the last layers of attention and of the feed-forward network.
PROJECTIONS = (("query", "value"), ("q_lin", "v_lin"))
LAST_LAYERS = (("output.dense",), ("out_lin", "lin2"))
T = TypeVar("T")


def resolve(
    spec: TrainingSpec,
    store: Store,
    start: Start | None = None,
    *,
    judged: bool = False,
    under: str = SPEC,
    packages_here: bool = False,
    tenant: str = "",
) -> tuple[TrainingSpec, Inputs]:
    """Checks a spec against the base model and the datasets that it names, and fills in what depends on them.

    Args:
        start: what the spec's `start_from` names; see `find_start`.
        judged: whether checkpoints are judged unless the spec says otherwise.
        under: path of the spec in the request, for the fields that errors name.
        packages_here: whether workers use the packages that are installed here.
        tenant: whose job it says that it is, where the dataset is the installation's own.

    Raises:
        PermissionDenied: the licence of the base does not let the tenant use it.
        FailedPrecondition: the base has learnt rows that were erased since.
    """
    if packages_here and spec.own_module and spec.own_module.name not in installed():
        raise InvalidArgument(f"{under}.own_module.name", unknown(spec.own_module.name))
    base = _find(store.base, f"{under}.base_model", spec.base_model)
    base.terms.check(spec.base_model, owner_of(spec.dataset) or tenant, f"{under}.base_model")
    if base.kind != "encoder":
        problem = f"{spec.base_model} is a language model ({base.kind}): it generates, and nothing is trained on it"
        raise InvalidArgument(f"{under}.base_model", problem, reason="NOT_AN_ENCODER")
    if base.trained_on_erased:
        problem = f"{spec.base_model} has learnt rows that were erased since: adapt bases/{base.parent} anew"
        raise FailedPrecondition(problem, field=f"{under}.base_model", reason="TRAINED_ON_ERASED")
    dataset = _find(store.dataset, f"{under}.dataset", spec.dataset)
    judged_by = spec.evaluation_dataset and _find(store.dataset, f"{under}.evaluation_dataset", spec.evaluation_dataset)
    if judged_by and judged_by.digest == dataset.digest:
        problem = f"its rows are those of {spec.dataset}, and what judges is not learnt: name another, or a fraction"
        raise InvalidArgument(f"{under}.evaluation_dataset", problem)
    replayed = None
    if start:
        spec, replayed = start_with(spec, start, dataset, store, under)
    head, settings = resolve_head(spec, base.hidden_size, dataset, judged_by or None, under)
    hyper = spec.hyperparameters
    if hyper.max_tokens is not None and hyper.max_tokens > base.max_tokens:
        field = f"{under}.hyperparameters.max_tokens"
        raise InvalidArgument(field, f"{hyper.max_tokens} is over the {base.max_tokens} tokens of {spec.base_model}")
    if spec.ranks > hyper.rows_per_step:
        problem = f"{spec.ranks} are more than the {hyper.rows_per_step} rows of a step: some would have nothing to do"
        raise InvalidArgument(f"{under}.ranks", problem)
    if spec.prefix and "PREFIX" not in base.methods:
        problem = f"{spec.base_model} is a {base.architecture}, whose attention takes no prefix"
        raise InvalidArgument(f"{under}.prefix", problem)
    room = base.max_tokens - (spec.prefix.virtual_tokens if spec.prefix else 0)
    if spec.prefix and room < max(hyper.max_tokens or 0, MIN_TOKENS):
        problem = f"a base of {base.max_tokens} tokens has room for {room} beside the virtual ones"
        raise InvalidArgument(f"{under}.prefix.virtual_tokens", problem)
    max_tokens = hyper.max_tokens or min(DEFAULT_MAX_TOKENS, room)
    rate = hyper.learning_rate or LEARNING_RATES[spec.method]
    keep_best = hyper.patience is not None if hyper.keep_best is None else hyper.keep_best
    evaluate = judged or keep_best or hyper.patience is not None
    if hyper.evaluate_checkpoints is not None:
        if evaluate and not judged and not hyper.evaluate_checkpoints:
            problem = "checkpoints that are not judged cannot be compared: leave it out, or patience and keep_best"
            raise InvalidArgument(f"{under}.hyperparameters.evaluate_checkpoints", problem)
        evaluate = hyper.evaluate_checkpoints
    metric = check_metric(head, settings, hyper.selection_metric, dataset, f"{under}.hyperparameters.selection_metric")
    resolved = spec.model_copy(
        update={
            "hyperparameters": hyper.model_copy(
                update={
                    "max_tokens": max_tokens,
                    "evaluate_checkpoints": evaluate,
                    "learning_rate": rate,
                    "selection_metric": metric,
                    "keep_best": keep_best,
                }
            ),
            head: settings,
            "business_fields": resolve_fields(spec, head, dataset, judged_by or None, under),
            "lora": _lora(spec, base, under),
            "adalora": _adalora(spec, base, under),
            "houlsby": _houlsby(spec, base, under),
        }
    )
    evaluation_digest = judged_by.digest if judged_by else ""
    digests = base.digest, base.tokenizer_digest, dataset.digest, evaluation_digest
    inputs = Inputs(*digests, base.pooling, base.quantized_digest, by_text=True)
    return resolved, _started(inputs, start, replayed) if start else inputs


def _started(inputs: Inputs, start: Start, replayed: Dataset | None) -> Inputs:
    version = start.version
    own = version.base_digest != inputs.base_digest
    return replace(
        inputs,
        base_digest=version.base_digest,
        # It is of the registered base, not of one that a training has made of it.
        quantized_digest="" if own else inputs.quantized_digest,
        start_digest=version.bundle_digest,
        replay_digest=replayed.digest if replayed else "",
        past=start.past,
    )


def _find(get: Callable[[str], T], field: str, name: str) -> T:
    try:
        return get(name.partition("/")[2])
    except NotFound as exc:
        raise NotFound(f"{name} does not exist", field=field) from exc


def _lora(spec: TrainingSpec, base: BaseModel, under: str) -> LoraMethod | None:
    if spec.lora is None:
        return None
    targets = _targets(spec.lora.target_modules, PROJECTIONS, base, spec.base_model, f"{under}.lora")
    alpha = spec.lora.alpha if spec.lora.alpha is not None else 2.0 * spec.lora.rank
    return spec.lora.model_copy(update={"target_modules": targets, "alpha": alpha})


def _adalora(spec: TrainingSpec, base: BaseModel, under: str) -> AdaLoraMethod | None:
    method = spec.adalora
    if method is None:
        return None
    targets = _targets(method.target_modules, PROJECTIONS, base, spec.base_model, f"{under}.adalora")
    # As in the paper, one and a half times what is to be left.
    initial = method.initial_rank or max(method.rank + 1, (3 * method.rank + 1) // 2)
    alpha = method.alpha if method.alpha is not None else 2.0 * initial
    return method.model_copy(update={"target_modules": targets, "initial_rank": initial, "alpha": alpha})


def _houlsby(spec: TrainingSpec, base: BaseModel, under: str) -> HoulsbyMethod | None:
    if spec.houlsby is None:
        return None
    targets = _targets(spec.houlsby.target_modules, LAST_LAYERS, base, spec.base_model, f"{under}.houlsby")
    return spec.houlsby.model_copy(update={"target_modules": targets})


def _targets(
    given: Sequence[str], usual: Sequence[Sequence[str]], base: BaseModel, name: str, method: str
) -> tuple[str, ...]:
    """Returns the ends of the names of the layers that a method changes: those given, else what is usual there."""
    field, known = f"{method}.target_modules", ", ".join(base.modules)
    found = tuple(given) or next((tuple(names) for names in usual if all(map(base.has_module, names))), ())
    if not found:
        raise InvalidArgument(field, f"{name} has no usual target; name some of: {known}")
    if unknown := [target for target in found if not base.has_module(target)]:
        raise InvalidArgument(field, f"{name} has no linear layers named {unknown[0]!r}; it has {known}")
    return found
