"""What the manifest of a stored version says."""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from symbiont.common.errors import IntegrityError
from symbiont.inference.catalogues.types import CatalogueVersion, IndexFacts, Pin
from symbiont.inference.types import ModelVersion

_DIGEST = r"^[0-9a-f]{64}$"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Model(_Strict):
    """The model as it was asked for, and what that was."""

    reference: str
    id: str
    number: int = Field(ge=0)
    bundle_digest: str = Field(pattern=_DIGEST)
    base_digest: str = Field(pattern=_DIGEST)
    tokenizer_digest: str = Field(pattern=_DIGEST)


class _Index(_Strict):
    lists: int = Field(ge=1)
    probes: int = Field(ge=1)
    trained_on: int = Field(ge=1)
    recall: float = Field(ge=0, le=1)


class _Manifest(_Strict):
    kind: Literal["catalogue"] = "catalogue"
    format_version: Literal[1] = 1
    catalogue: str
    number: int = Field(ge=1)
    model: _Model
    dimensions: int = Field(ge=1)
    entries: int = Field(ge=0)
    salt: str = Field(pattern=_DIGEST)
    created: float
    index: _Index | None
    files: dict[str, Any] = Field(default_factory=dict)


def fields_of(version: CatalogueVersion) -> dict[str, Any]:
    """Returns what a version's manifest says; its digest is not known yet."""
    pin, index = version.pin, version.index
    model = _Model(
        reference=pin.model,
        id=pin.version.model,
        number=pin.version.number,
        bundle_digest=pin.version.bundle_digest,
        base_digest=pin.version.base_digest,
        tokenizer_digest=pin.version.tokenizer_digest,
    )
    manifest = _Manifest(
        catalogue=version.catalogue,
        number=version.number,
        model=model,
        dimensions=pin.dimensions,
        entries=version.entries,
        salt=version.salt.hex(),
        created=version.created,
        index=_Index.model_validate(vars(index)) if index else None,
    )
    return manifest.model_dump(mode="json", exclude={"files"})


def version_of(digest: str, fields: dict[str, Any]) -> CatalogueVersion:
    """Reads a manifest that was checked against its digest; IntegrityError when it is not one of this format."""
    try:
        manifest = _Manifest.model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as exc:
        raise IntegrityError(f"catalogues/{digest}: the manifest is not valid: {exc.error_count()} problems") from exc
    model = manifest.model
    asked = ModelVersion(model.id, model.number, model.bundle_digest, model.base_digest, model.tokenizer_digest)
    index = IndexFacts(**manifest.index.model_dump()) if manifest.index else None
    return CatalogueVersion(
        manifest.catalogue,
        manifest.number,
        digest,
        Pin(model.reference, asked, manifest.dimensions),
        manifest.entries,
        bytes.fromhex(manifest.salt),
        manifest.created,
        index,
    )
