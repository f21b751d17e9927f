"""Messages <-> values of base models, as pure functions in pairs."""

from datetime import UTC
from typing import Any

from symbiont.api.training.v1 import base_model_pb2
from symbiont.common.errors import InvalidArgument
from symbiont.common.licenses import LicenseTerms, check_terms
from symbiont.training import types
from symbiont.training.convert import POOLINGS, timestamp_to_proto
from symbiont.training.spec import HEADS

LONGEST_WORD = 200
KINDS = {
    "encoder": base_model_pb2.BASE_MODEL_KIND_ENCODER,
    "causal": base_model_pb2.BASE_MODEL_KIND_CAUSAL,
    "seq2seq": base_model_pb2.BASE_MODEL_KIND_SEQ2SEQ,
}


def source_from_proto(message: base_model_pb2.BaseModelSource) -> types.Source:
    """Raises InvalidArgument when no source is set."""
    match message.WhichOneof("source"):
        case "folder":
            return types.Source("folder", message.folder)
        case "package":
            return types.Source("package", message.package.package, message.package.folder)
        case "hugging_face":
            return types.Source("hugging_face", message.hugging_face.repo_id, message.hugging_face.revision)
        case _:
            raise InvalidArgument(
                "base_model.source", "set folder, package or hugging_face; a job registers what it makes itself"
            )


def source_to_proto(source: types.Source) -> base_model_pb2.BaseModelSource:
    """The inverse of source_from_proto."""
    match source.kind:
        case "folder":
            return base_model_pb2.BaseModelSource(folder=source.location)
        case "training_job":
            return base_model_pb2.BaseModelSource(training_job=source.location)
        case "package":
            package = base_model_pb2.PackageSource(package=source.location, folder=source.detail)
            return base_model_pb2.BaseModelSource(package=package)
        case _:
            hub = base_model_pb2.HuggingFaceSource(repo_id=source.location, revision=source.detail)
            return base_model_pb2.BaseModelSource(hugging_face=hub)


def base_to_proto(base: types.BaseModel) -> base_model_pb2.BaseModel:
    """A registered base model as its resource."""
    encoder = base.kind == "encoder"
    return base_model_pb2.BaseModel(
        name=f"bases/{base.id}",
        source=source_to_proto(base.source),
        provider=base.provider,
        license=base.license,
        digest=base.digest,
        tokenizer_digest=base.tokenizer_digest,
        architecture=base.architecture,
        hidden_size=base.hidden_size,
        parameter_count=base.parameter_count,
        max_tokens=base.max_tokens,
        pooling=POOLINGS[base.pooling],
        tuning_methods=[base_model_pb2.TuningMethod.Value(f"TUNING_METHOD_{method}") for method in base.methods],
        task_heads=[base_model_pb2.TaskHead.Value(f"TASK_HEAD_{head.upper()}") for head in HEADS] if encoder else (),
        kind=KINDS[base.kind],
        quantized_digest=base.quantized_digest,
        parent=f"bases/{base.parent}" if base.parent else "",
        parent_digest=base.parent_digest,
        trained_on_erased=base.trained_on_erased,
        terms=terms_to_proto(base.terms),
        create_time=timestamp_to_proto(base.create_time),
    )


def terms_to_proto(terms: LicenseTerms) -> base_model_pb2.LicenseTerms | None:
    """Terms of a licence; None, an unset field, where they say nothing."""
    if terms == LicenseTerms():
        return None
    return base_model_pb2.LicenseTerms(
        tenants=terms.tenants,
        expire_time=timestamp_to_proto(terms.expire_time),
        noncommercial=terms.noncommercial,
        uri=terms.uri,
    )


def terms_from_proto(message: base_model_pb2.LicenseTerms) -> LicenseTerms:
    """The inverse of terms_to_proto; raises InvalidArgument for what no terms can say."""
    field = "base_model.terms"
    try:
        ends = message.expire_time.ToDatetime(UTC) if message.HasField("expire_time") else None
    except (ValueError, OverflowError) as exc:
        raise InvalidArgument(f"{field}.expire_time", "it is no moment between the years 1 and 9999") from exc
    return check_terms(field, LicenseTerms(tuple(message.tenants), ends, message.noncommercial, message.uri))


def provider_and_license(message: base_model_pb2.BaseModel) -> tuple[str, str]:
    """What a base says of itself, which metrics show; raises InvalidArgument for what is too long for that."""
    for field, value in (("provider", message.provider), ("license", message.license)):
        if len(value) > LONGEST_WORD or not value.isprintable():
            problem = f"it may have {LONGEST_WORD} printable characters at most"
            raise InvalidArgument(f"base_model.{field}", problem)
    return message.provider, message.license


def base_changes_from_proto(request: base_model_pb2.UpdateBaseModelRequest) -> dict[str, Any]:
    """What is to change of a base, by the names of its attributes."""
    paths, base = set(request.update_mask.paths), request.base_model
    provider, license = provider_and_license(base)
    values = {"provider": provider, "license": license, "terms": terms_from_proto(base.terms)}
    if not paths or paths - values.keys():
        problem = f"it names {sorted(paths)}, where provider, license and terms can be changed"
        raise InvalidArgument("update_mask", problem)
    return {path: values[path] for path in paths}


def quantization_to_proto(
    progress: types.QuantizationStage | types.BaseModel,
) -> base_model_pb2.QuantizeBaseModelResponse:
    """A stage that begins, or the base that was quantised."""
    if isinstance(progress, types.BaseModel):
        return base_model_pb2.QuantizeBaseModelResponse(base_model=base_to_proto(progress))
    stage = base_model_pb2.QuantizationStage.Value(f"QUANTIZATION_STAGE_{progress}")
    return base_model_pb2.QuantizeBaseModelResponse(stage=stage)
