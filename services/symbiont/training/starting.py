"""A job that trains on from a version: what that says of the job, held against what its spec says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from symbiont.bundle import BundleManifest, read_manifest
from symbiont.bundle.heads import EmbeddingHead, EntityHead, PooledHead, ScoreHead, SpanHead
from symbiont.bundle.manifest import AdaLoraMethod, HoulsbyMethod, LoraMethod, PrefixMethod
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument, NotFound
from symbiont.training import spec as specs
from symbiont.training.spec import HEADS, METHODS, TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import Dataset, Inputs, Job, ModelVersion, Past

# What each head and method is called in a spec, and the values of its message that a bundle has fixed.
Dictated = tuple[str, Mapping[str, Any]]
_METHODS = {
    "head_only": specs.HeadOnlyMethod,
    "lora": specs.LoraMethod,
    "adalora": specs.AdaLoraMethod,
    "houlsby": specs.HoulsbyMethod,
    "prefix": specs.PrefixMethod,
    "full": specs.FullMethod,
    "bitfit": specs.BitFitMethod,
}
_HEADS = {
    "classification": specs.ClassificationHead,
    "multi_label": specs.MultiLabelHead,
    "score": specs.ScoreHead,
    "entities": specs.EntitiesHead,
    "spans": specs.SpansHead,
    "embedding": specs.EmbeddingHead,
}
_KINDS = {"number": "NUMBER", "flag": "FLAG", "category": "CATEGORY", "date": "DATE"}


@dataclass(frozen=True)
class Start:
    """A version to train on from, the job that made it, and the manifest of its bundle."""

    version: ModelVersion
    job: Job
    manifest: BundleManifest

    @property
    def past(self) -> tuple[Past, ...]:
        """The trainings behind the version, its own the last."""
        return (*self.job.inputs.past, past_of(self.job.spec, self.job.inputs))


def past_of(spec: TrainingSpec, inputs: Inputs) -> Past:
    """Returns which rows a training learns and is judged by."""
    past = Past(
        inputs.dataset_digest,
        inputs.evaluation_dataset_digest,
        spec.holdout_fraction or 0.0,
        spec.hyperparameters.seed,
        by_text=inputs.by_text,
    )
    if spec.replay is None:
        return past
    return replace(
        past, replay_digest=inputs.replay_digest, replay_share=spec.replay.share, replay_rows=spec.replay.rows
    )


def find_start(spec: TrainingSpec, store: Store, artifacts: ArtifactStore, under: str) -> Start | None:
    """Returns what a spec starts from; None where that is the base.

    Raises:
        NotFound, InvalidArgument, FailedPrecondition: there is no such version, it lives on another base, or it cannot
            be trained on; names the field under `under`.
    """
    if spec.start_from is None:
        return None
    field = f"{under}.start_from"
    try:
        version = _version(spec.start_from, store)
        manifest = read_manifest(artifacts, version.bundle_digest)
    except (NotFound, IntegrityError) as exc:
        raise NotFound(f"{spec.start_from} cannot be trained on: {exc}", field=field) from exc
    if spec.base_model != f"bases/{version.base_model}":
        problem = f"it is {spec.base_model}, and {version.name} lives on bases/{version.base_model}: name that one"
        raise InvalidArgument(f"{under}.base_model", problem)
    if version.trained_on_erased:
        problem = f"{version.name} has learnt rows that were erased since: start from another version, or from the base"
        raise FailedPrecondition(problem, field=field, reason="TRAINED_ON_ERASED")
    if isinstance(manifest.head, PooledHead) and manifest.head.own_module:
        problem = f"of the module {manifest.head.own_module.name!r} {version.name} has a graph, which learns no more"
        raise FailedPrecondition(f"{problem}: start from the base", field=field, reason="OWN_MODULE")
    return Start(version, store.job(version.job), manifest)


def start_with(
    spec: TrainingSpec, start: Start, dataset: Dataset, store: Store, under: str
) -> tuple[TrainingSpec, Dataset | None]:
    """Returns a spec with all that its start dictates, and the dataset that is learnt again; errors as of `adopt`."""
    spec, replayed = find_replay(spec, start, store, under)
    learnt = [(spec.dataset, dataset)]
    check_rows(start.manifest, f"{under}.dataset", spec.dataset, dataset)
    if spec.replay and replayed:
        name, field = f"datasets/{replayed.id}", f"{under}.replay.dataset"
        if replayed.label_kind != dataset.label_kind:
            problem = f"the labels of {name} are of the kind {replayed.label_kind}, not {dataset.label_kind}"
            raise InvalidArgument(field, problem)
        check_rows(start.manifest, field, name, replayed)
        learnt.append((name, replayed))
    return adopt(spec, start, learnt, under), replayed


def adopt(spec: TrainingSpec, start: Start, datasets: Sequence[tuple[str, Dataset]], under: str) -> TrainingSpec:
    """Returns a spec with all that the version dictates, under the version's own name.

    Args:
        datasets: (name, dataset) of all that is learnt; their labels must be known, or allowed.

    Raises:
        InvalidArgument: the spec says otherwise; names the field under `under`, and both values.
    """
    version, manifest = start.version.name, start.manifest
    method, shape = _method(start)
    head, answers = _head(start)
    changes: dict[str, Any] = {"start_from": version}
    for known, chosen in ((METHODS, method), (HEADS, head)):
        if other := next((name for name in known if name != chosen and getattr(spec, name) is not None), None):
            raise InvalidArgument(f"{under}.{other}", _differs("given as", other, version, chosen))
    changes[method] = _merged(getattr(spec, method) or _METHODS[method](), shape, version, f"{under}.{method}")
    given = _decided(getattr(spec, head) or _HEADS[head](), getattr(start.job.spec, head))
    if "labels" in answers:
        answers = {"labels": _labels(spec, given.labels, answers["labels"], datasets, version, f"{under}.{head}")}
        given = given.model_copy(update=answers)
    changes[head] = _merged(given, answers, version, f"{under}.{head}")
    changes |= _layers(spec, manifest, version, under)
    if spec.windows and not manifest.windows:
        raise InvalidArgument(f"{under}.windows", f"{version} cuts long texts: leave it out, or start from the base")
    changes["windows"] = manifest.windows
    changes["hyperparameters"] = _merged(
        spec.hyperparameters, {"max_tokens": manifest.max_tokens}, version, f"{under}.hyperparameters"
    )
    return spec.model_copy(update=changes)


def find_replay(spec: TrainingSpec, start: Start, store: Store, under: str) -> tuple[TrainingSpec, Dataset | None]:
    """Returns the spec with the name of the dataset that is learnt again, and that dataset; None where none is.

    Raises:
        NotFound, InvalidArgument: it is not there; names the field under `under`.
    """
    if spec.replay is None:
        return spec, None
    field, name = f"{under}.replay.dataset", spec.replay.dataset
    try:
        dataset = store.dataset((name or start.job.spec.dataset).partition("/")[2])
    except NotFound as exc:
        raise NotFound(f"{name or start.job.spec.dataset} does not exist: name another", field=field) from exc
    if name is None and dataset.digest != start.job.inputs.dataset_digest:
        problem = f"{start.job.spec.dataset} is not what {start.version.name} learnt from any more: name a dataset"
        raise InvalidArgument(field, problem)
    replay = spec.replay.model_copy(update={"dataset": f"datasets/{dataset.id}"})
    return spec.model_copy(update={"replay": replay}), dataset


def _version(name: str, store: Store) -> ModelVersion:
    _, model, kind, last = name.split("/")
    return store.version(model, int(last)) if kind == "versions" else store.alias(model, last).version


def _method(start: Start) -> Dictated:
    key = next(name for name in METHODS if getattr(start.job.spec, name) is not None)
    match start.manifest.method:
        case LoraMethod() as made:
            stabilized = {"rank_stabilized": made.rslora}
            return key, {"rank": made.rank, "alpha": made.alpha, "target_modules": made.target_modules, **stabilized}
        case AdaLoraMethod() as made:
            # Where pruning is to end is the one part of the shape that a bundle does not say.
            left = start.job.spec.adalora
            shape = {"initial_rank": made.rank, "alpha": made.alpha, "target_modules": made.target_modules}
            return key, {**shape, **({"rank": left.rank} if left else {})}
        case HoulsbyMethod() as made:
            return key, {"size": made.size, "target_modules": made.target_modules}
        case PrefixMethod() as made:
            # What keys and values came out of is not part of a bundle: they are trained on themselves.
            return key, {"virtual_tokens": made.virtual_tokens, "projection_size": None}
        case _:
            return key, {}


def _head(start: Start) -> Dictated:
    manifest = start.manifest
    match manifest.head:
        case ScoreHead():
            # As the job was given them: the sum of a bundle's offset and scale is rounded, and a label may be above it.
            limits = start.job.spec.score or specs.ScoreHead()
            return "score", {"minimum": limits.minimum, "maximum": limits.maximum}
        case SpanHead() as head:
            return "spans", {"max_answer_tokens": head.max_answer_tokens}
        case EmbeddingHead() as head:
            return "embedding", {"size": head.size}
        case EntityHead():
            return "entities", {"labels": tuple(tag[2:] for tag in manifest.labels if tag.startswith("B-"))}
        case _:
            return manifest.task, {"labels": manifest.labels}


def _decided(given: Any, before: Any) -> Any:
    """Returns a head that decides as the version does, where it does not say how."""
    match given, before:
        case specs.ClassificationHead(cost_matrix=None, binary_costs=None), specs.ClassificationHead():
            return given.model_copy(update={"cost_matrix": before.cost_matrix, "binary_costs": before.binary_costs})
        case specs.MultiLabelHead(), specs.MultiLabelHead() if "thresholds" not in given.model_fields_set:
            return given.model_copy(update={"thresholds": before.thresholds})
    return given


def _layers(spec: TrainingSpec, manifest: BundleManifest, version: str, under: str) -> dict[str, Any]:
    head = manifest.head
    if not isinstance(head, PooledHead):
        return {}
    if spec.hidden_layers not in ((), head.hidden_layers):
        problem = _differs("given as", list(spec.hidden_layers), version, list(head.hidden_layers))
        raise InvalidArgument(f"{under}.hidden_layers", problem)
    if spec.own_module is not None:
        problem = f"{version} has no layers of a customer's own: leave it out, or start from the base"
        raise InvalidArgument(f"{under}.own_module", problem)
    fields = None
    if manifest.fields:
        fusion = f"FUSION_{head.fusion.upper()}"
        dictated = {"names": tuple(field.name for field in manifest.fields), "fusion": fusion}
        given = spec.business_fields or specs.BusinessFields()
        fields = _merged(given, dictated, version, f"{under}.business_fields")
    elif spec.business_fields is not None:
        raise InvalidArgument(f"{under}.business_fields", f"{version} takes none: leave it out, or start from the base")
    return {"hidden_layers": head.hidden_layers, "business_fields": fields}


def _merged(given: Any, dictated: Mapping[str, Any], version: str, under: str) -> Any:
    """Returns a message with the values that the version dictates; those that were given must be the same."""
    for name, value in dictated.items():
        asked = getattr(given, name)
        # What a message does not say has its default, and an empty list says nothing.
        if name in given.model_fields_set and asked not in ((), None) and asked != value:
            raise InvalidArgument(f"{under}.{name}", _differs("given as", asked, version, value))
    return given.model_copy(update=dict(dictated))


def _labels(
    spec: TrainingSpec,
    given: tuple[str, ...],
    known: tuple[str, ...],
    datasets: Sequence[tuple[str, Dataset]],
    version: str,
    under: str,
) -> tuple[str, ...]:
    """Returns the labels of the version in their order, and behind them the new ones."""
    if given:
        if lacking := [label for label in known if label not in given]:
            problem = f"{lacking[0]!r} is not among {list(given)}, and {version} answers it: labels are never dropped"
            raise InvalidArgument(f"{under}.labels", problem)
        if given[: len(known)] != known:
            problem = _differs("given as", list(given), version, list(known))
            raise InvalidArgument(f"{under}.labels", f"{problem}; new ones stand behind those")
    there = {label for _, dataset in datasets for label in dataset.labels}
    new = given[len(known) :] or tuple(sorted(there - set(known)))
    if new and not spec.allow_new_labels:
        problem = f"{version} does not know {', '.join(map(repr, new))}: set it to learn them too, or correct the rows"
        raise InvalidArgument(f"{under.rpartition('.')[0]}.allow_new_labels", problem, reason="NEW_LABELS")
    return known + new


def check_rows(manifest: BundleManifest, field: str, name: str, dataset: Dataset) -> None:
    """Raises InvalidArgument where the rows of a dataset are not as the version takes them."""
    pooled = isinstance(manifest.head, PooledHead) and not isinstance(manifest.head, EmbeddingHead)
    if pooled and (manifest.input == "pair") != bool(dataset.pair_column):
        counts = ("two texts", "one") if dataset.pair_column else ("one text", "two")
        raise InvalidArgument(field, f"the rows of {name} have {counts[0]}, the version takes {counts[1]}")
    there = dict(dataset.fields)
    for wanted in manifest.fields:
        if there.get(wanted.name) != _KINDS[wanted.kind]:
            problem = f"{name} has no field {wanted.name!r} of the kind {_KINDS[wanted.kind]}, which the version takes"
            raise InvalidArgument(field, problem)


def _differs(how: str, asked: object, version: str, value: object) -> str:
    asked, value = (list(x) if isinstance(x, tuple) else x for x in (asked, value))
    return f"it is {how} {asked!r}, where {version} has {value!r}: leave it out, or start from the base"
