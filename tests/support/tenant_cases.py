"""Every field of every request in which a tenant may name something, and how to ask by it for what another one has.

A test that asks each RPC fails for a field that has no case here and is none of those that name nothing.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from symbiont.common.access.naming import holds_of
from symbiont.common.access.table import rows
from symbiont.common.access.views import TEXT
from symbiont.triton.open_inference import open_inference_pb2

PROTOS = Path(__file__).parents[2] / "protos"
Names = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """A field that names something.

    Args:
        method: full name of the RPC.
        path: of the field; where it leads through a repeated one it is of its first part.
        name: what stands there, with `{model}` and the like for what differs between two tenants.
        rest: the rest of the message, as JSON with the same words.
        code: of the refusal; OK where nothing is refused, and nothing is told either.
    """

    method: str
    path: str
    name: str
    rest: dict[str, Any] = field(default_factory=dict)
    code: str = "NOT_FOUND"

    def __str__(self) -> str:
        return f"{self.method.rpartition('/')[2]} {self.path}"

    def request(self, names: Names) -> Any:
        """Returns the message with these names."""
        message: Any = message_factory.GetMessageClass(input_of(self.method))()
        json_format.ParseDict(json.loads(_filled(json.dumps(self.rest), names)), message)
        *parts, last = self.path.split(".")
        place = message
        for part in parts:
            value = getattr(place, part)
            place = (value[0] if value else value.add()) if hasattr(value, "add") else value
        setattr(place, last, _filled(self.name, names))
        return message


def _filled(text: str, names: Names) -> str:
    for word, name in names.items():
        text = text.replace(f"{{{word}}}", name)
    return text


def input_of(method: str) -> Descriptor:
    """Returns the type of an RPC's requests."""
    for file in PROTOS.rglob("*.proto"):
        import_module(f"symbiont.api.{'.'.join(file.relative_to(PROTOS / 'symbiont').with_suffix('').parts)}_pb2")
    _, service, name = method.split("/")
    files = {
        "inference.GRPCInferenceService": open_inference_pb2,
        "grpc.health.v1.Health": health_pb2,
        "grpc.reflection.v1alpha.ServerReflection": reflection_pb2,
    }
    if service in files:
        found = files[service].DESCRIPTOR.services_by_name[service.rpartition(".")[2]]
    else:
        found = descriptor_pool.Default().FindServiceByName(service)
    return found.methods_by_name[name].input_type


def named() -> set[tuple[str, str]]:
    """Returns all fields, by RPC and path, that hold a name or an id."""
    return {(method, path) for method in rows() for path in _paths(input_of(method), ())}


def _paths(descriptor: Descriptor, above: tuple[str, ...]) -> Iterator[str]:
    for each in descriptor.fields:
        holds = holds_of(each)
        if holds and holds != TEXT:
            yield each.name
        elif not holds and each.message_type is not None and each.message_type.full_name not in above:
            for path in _paths(each.message_type, (*above, descriptor.full_name)):
                yield f"{each.name}.{path}"


# Where what is named is an option of something else.
BAD = "INVALID_ARGUMENT"
DATASETS, JOBS = "/symbiont.training.v1.DatasetService/", "/symbiont.training.v1.TrainingJobService/"
MODELS, PROMOTIONS = "/symbiont.training.v1.ModelService/", "/symbiont.training.v1.PromotionService/"
PASSPORTS = "/symbiont.training.v1.PassportService/"
_MADE = {"datasetId": "made"}
_CLEAN = {"transforms": [{"clean": {}}]}
_OWN = {"name": "datasets/own"}
_VERSION, _ALIAS = "models/{model}/versions/1", "models/{model}/aliases/production"
_SPEC = {"baseModel": "bases/tiny", "dataset": "datasets/own", "model": "models/new", "headOnly": {}}
_SPECS = (
    ("dataset", "datasets/{rows}", "NOT_FOUND"),
    ("evaluation_dataset", "datasets/{rows}", "NOT_FOUND"),
    ("start_from", _VERSION, "NOT_FOUND"),
)
_ON = {**_SPEC, "model": "models/own", "startFrom": "models/own/versions/1"}
# In this order a tenant may ask for its own, one after the other.
TRAINING = [
    Case(f"{DATASETS}GetDataset", "name", "datasets/{rows}"),
    Case(f"{DATASETS}PrepareDataset", "name", "datasets/{rows}", {**_MADE, **_CLEAN}),
    Case(f"{DATASETS}PrepareDataset", "transforms.deduplicate.against", "datasets/{rows}", {**_OWN, **_MADE}, BAD),
    Case(f"{DATASETS}SplitDataset", "name", "datasets/{rows}", {"trainDatasetId": "one", "testDatasetId": "two"}),
    Case(f"{DATASETS}ValidateDataset", "name", "datasets/{rows}"),
    Case(f"{DATASETS}ValidateDataset", "validation.against", "datasets/{rows}", _OWN, BAD),
    Case(f"{DATASETS}SuggestRows", "name", "datasets/{rows}"),
    Case(f"{DATASETS}SuggestRows", "suggestion.learn_from", "datasets/{rows}", _OWN, BAD),
    Case(f"{DATASETS}ExportRows", "name", "datasets/{rows}", {"format": "ANNOTATION_FORMAT_CSV"}),
    Case(
        f"{DATASETS}ImportLabels",
        "header.name",
        "datasets/{rows}",
        {"header": {"datasetId": "labelled", "format": "ANNOTATION_FORMAT_CSV"}},
    ),
    *(Case(f"{JOBS}PlanTrainingJob", f"spec.{path}", name, {"spec": _SPEC}, code) for path, name, code in _SPECS),
    *(
        Case(
            f"{JOBS}CreateTrainingJob",
            f"training_job.spec.{path}",
            name,
            {"trainingJob": {"spec": _SPEC}, "validateOnly": True},
            code,
        )
        for path, name, code in _SPECS
    ),
    Case(f"{JOBS}PlanTrainingJob", "spec.replay.dataset", "datasets/{rows}", {"spec": _ON}),
    Case(
        f"{JOBS}CreateTrainingJob",
        "training_job.spec.replay.dataset",
        "datasets/{rows}",
        {"trainingJob": {"spec": _ON}, "validateOnly": True},
    ),
    Case(f"{JOBS}ListTrainingJobs", "model", "models/{model}", code="OK"),
    *(
        Case(f"{JOBS}{method}", "name", "jobs/{job}")
        for method in ("GetTrainingJob", "ListTrainingEvents", "WatchTrainingJob", "ReadTrainingLog")
    ),
    Case(f"{JOBS}ReproduceModelVersion", "name", _VERSION),
    *(Case(f"{JOBS}{verb}TrainingJob", "name", "jobs/{job}") for verb in ("Pause", "Resume", "Cancel")),
    Case(f"{MODELS}GetModel", "name", "models/{model}"),
    Case(f"{MODELS}GetModelVersion", "name", _VERSION),
    Case(f"{MODELS}ListModelVersions", "parent", "models/{model}"),
    Case(f"{MODELS}ListReleases", "parent", "models/{model}/aliases/-"),
    Case(f"{PASSPORTS}GetModelPassport", "name", _VERSION),
    Case(f"{PASSPORTS}GetEvaluationReport", "name", _VERSION),
    Case(f"{PROMOTIONS}GetPromotionPolicy", "name", _ALIAS, code="OK"),
    Case(f"{PROMOTIONS}ListPromotionDecisions", "parent", "models/{model}/aliases/-", code="OK"),
    Case(
        f"{PROMOTIONS}SetPromotionPolicy",
        "policy.evaluation_dataset",
        "datasets/{rows}",
        {"policy": {"alias": "models/own/aliases/production"}},
    ),
    Case(f"{PROMOTIONS}JudgeModelVersion", "name", _VERSION),
    Case(f"{PROMOTIONS}ApproveModelVersion", "name", _VERSION),
    Case(f"{MODELS}GetRelease", "name", f"{_ALIAS}/releases/{{release}}"),
    Case(
        f"{MODELS}UpdateRelease",
        "release.name",
        f"{_ALIAS}/releases/{{release}}",
        {"release": {"weight": 20}, "updateMask": "weight"},
    ),
    Case(f"{MODELS}EndRelease", "name", f"{_ALIAS}/releases/{{release}}"),
    Case(f"{MODELS}PromoteRelease", "name", f"{_ALIAS}/releases/{{release}}"),
    Case(f"{MODELS}CreateRelease", "parent", _ALIAS, {"release": {"candidate": _VERSION, "weight": 10}}),
    Case(
        f"{MODELS}CreateRelease",
        "release.candidate",
        _VERSION,
        {"parent": "models/own/aliases/production", "release": {"weight": 10}},
        BAD,
    ),
    Case(f"{MODELS}PromoteModelVersion", "name", _VERSION),
    Case(f"{MODELS}RollbackModelAlias", "name", _ALIAS, {"fromVersion": _VERSION}),
    Case(f"{MODELS}RollbackModelAlias", "from_version", _VERSION, {"name": "models/own/aliases/production"}, BAD),
    Case(f"{DATASETS}DeleteDataset", "name", "datasets/{rows}"),
]

PREDICTIONS, CATALOGUES = "/symbiont.inference.v1.InferenceService/", "/symbiont.inference.v1.CatalogueService/"
RELEASES, OPEN = "/symbiont.inference.v1.ReleaseService/", "/inference.GRPCInferenceService/"
HEALTH = "/grpc.health.v1.Health/"
_TEXT, _QUERY = {"instances": [{"text": "where"}]}, {"instances": [{"query": {"text": "where"}}]}
_ASKED = {"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1], "contents": {"bytesContents": ["d2hlcmU="]}}]}
_RELEASE = "models/{model}/aliases/production/releases/release-2"
INFERENCE = [
    Case(f"{PREDICTIONS}Predict", "model", "models/{model}", _TEXT),
    Case(f"{PREDICTIONS}Predict", "instances.query.catalogue", "catalogues/{faq}", {"model": "models/own", **_QUERY}),
    # Of a stream the answer to each request has its error.
    Case(f"{PREDICTIONS}PredictStream", "request.model", "models/{model}", {"id": "1", "request": _TEXT}, "OK"),
    Case(
        f"{PREDICTIONS}PredictStream",
        "request.instances.query.catalogue",
        "catalogues/{faq}",
        {"id": "1", "request": {"model": "models/own", **_QUERY}},
        "OK",
    ),
    Case(f"{PREDICTIONS}Explain", "model", "models/{model}", _TEXT),
    # Nothing of a catalogue is explained, whoever has it.
    Case(
        f"{PREDICTIONS}Explain",
        "instances.query.catalogue",
        "catalogues/{faq}",
        {"model": "models/own", **_QUERY},
        BAD,
    ),
    Case(f"{CATALOGUES}GetCatalogue", "name", "catalogues/{faq}"),
    Case(f"{CATALOGUES}ListCatalogueVersions", "parent", "catalogues/{faq}"),
    Case(f"{CATALOGUES}SearchCatalogue", "name", "catalogues/{faq}", {"texts": ["where"]}),
    Case(f"{CATALOGUES}CreateCatalogue", "model", "models/{vectors}", {"catalogueId": "made"}),
    Case(
        f"{CATALOGUES}UpdateCatalogueEntries",
        "name",
        "catalogues/{faq}",
        {"entries": [{"id": "1", "text": "where"}]},
    ),
    Case(f"{CATALOGUES}ImportCatalogueEntries", "header.name", "catalogues/{faq}"),
    Case(
        f"{CATALOGUES}ImportCatalogueEntries",
        "header.model",
        "models/{vectors}",
        {"header": {"name": "catalogues/own", "replace": True}},
    ),
    Case(f"{CATALOGUES}DeleteCatalogueEntries", "name", "catalogues/{faq}", {"entryIds": ["1"]}),
    Case(f"{RELEASES}GetReleaseObservation", "release", _RELEASE),
    Case(f"{RELEASES}ListDisagreements", "parent", _RELEASE, code="OK"),
    Case(f"{OPEN}ModelReady", "name", "{model}", code="OK"),
    Case(f"{OPEN}ModelMetadata", "name", "{model}"),
    Case(f"{OPEN}ModelConfig", "name", "{model}"),
    Case(f"{OPEN}ModelStatistics", "name", "{model}"),
    Case(f"{OPEN}ModelInfer", "model_name", "{model}", _ASKED),
    Case(f"{OPEN}ModelStreamInfer", "model_name", "{model}", _ASKED, "OK"),
    *(
        Case(f"{OPEN}RepositoryModel{verb}", field, "{model}", code=code)
        # Nothing is unloaded by hand, whoever has it.
        for verb, code in (("Load", "NOT_FOUND"), ("Unload", "FAILED_PRECONDITION"))
        for field in ("repository_name", "model_name")
    ),
    Case(f"{HEALTH}Check", "service", "models/{model}@production"),
    Case(f"{HEALTH}Watch", "service", "models/{model}@production", code="OK"),
    Case(f"{CATALOGUES}DeleteCatalogue", "name", "catalogues/{faq}"),
]

NEW = "of what is made: each tenant may call its own so, whatever others have"
OUTPUT = "says what is, and is not read of a request"
# RPC and path of fields by which nothing is found.
NAMELESS = {
    ("/symbiont.training.v1.BaseModelService/RegisterBaseModel", "base_model.source.training_job"): OUTPUT,
    ("/symbiont.training.v1.BaseModelService/UpdateBaseModel", "base_model.source.training_job"): OUTPUT,
    (f"{DATASETS}CreateDataset", "header.dataset_id"): NEW,
    (f"{DATASETS}CreateDataset", "header.dataset.name"): OUTPUT,
    (f"{DATASETS}CreateDataset", "header.dataset.transforms.deduplicate.against"): OUTPUT,
    (f"{DATASETS}PrepareDataset", "dataset_id"): NEW,
    (f"{DATASETS}SplitDataset", "train_dataset_id"): NEW,
    (f"{DATASETS}SplitDataset", "test_dataset_id"): NEW,
    (f"{DATASETS}ImportLabels", "header.dataset_id"): NEW,
    (f"{JOBS}PlanTrainingJob", "spec.model"): NEW,
    (f"{JOBS}CreateTrainingJob", "training_job.spec.model"): NEW,
    (f"{JOBS}CreateTrainingJob", "request_id"): NEW,
    (f"{JOBS}ReproduceModelVersion", "request_id"): NEW,
    ("/symbiont.training.v1.ErasureService/ForgetSubject", "request_id"): NEW,
    **{
        (f"{JOBS}CreateTrainingJob", f"training_job.{path}"): OUTPUT
        for path in ("name", "model_version", "reproduction.model_version", "reproduction.job", "request_id")
    },
    (f"{PROMOTIONS}SetPromotionPolicy", "policy.alias"): NEW,
    **{
        (f"{MODELS}{verb}Release", f"release.{path}"): OUTPUT
        for verb in ("Create", "Update")
        for path in ("candidate_version.name", "candidate_version.training_job", "baseline")
    },
    (f"{MODELS}CreateRelease", "release.name"): OUTPUT,
    (f"{MODELS}UpdateRelease", "release.candidate"): OUTPUT,
    ("/symbiont.training.v1.WorkerService/Report", "job"): "of a worker, which proves by its pass whose it is",
    (f"{CATALOGUES}CreateCatalogue", "catalogue_id"): NEW,
}


def told(code: str, text: str, metadata: Any, names: Names) -> tuple[str, str, list[str]]:
    """Returns all that a caller can see of an answer, but what it has named itself, and the values of metadata.

    Names of the same length give texts of the same: a status has its details as bytes, with their lengths.
    """
    for name in names.values():
        text = text.replace(name, "NAME")
    return code, text, sorted({key for key, _ in metadata})
