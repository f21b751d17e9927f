"""How a caller says which model it means."""

import re
from dataclasses import dataclass

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import check_id, check_owned_id, parse_version_name

DEFAULT_ALIAS = "production"
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_OPEN = re.compile(r"([^/@]+)(?:@([^/@]+))?")
_BY_ALIAS = re.compile(r"models/([^/@]+)(?:@([^/@]+))?")
_BY_DIGEST = re.compile(r"bundles/([0-9a-f]{64})")


@dataclass(frozen=True)
class ModelReference:
    """A bundle by its digest where there is one, else a model by version when that is not 0, else by alias."""

    model: str
    alias: str = DEFAULT_ALIAS
    version: int = 0
    bundle_digest: str = ""


def parse_reference(field: str, text: str) -> ModelReference:
    """Reads `models/{model}@{alias}`, `models/{model}` (alias `production`), `models/{model}/versions/{version}` or
    `bundles/{digest}`.
    """
    if digest := _BY_DIGEST.fullmatch(text):
        return ModelReference("", bundle_digest=digest[1])
    if "/versions/" in text:
        model, number = parse_version_name(field, text)
        return ModelReference(model, version=number)
    match = _BY_ALIAS.fullmatch(text)
    if not match:
        forms = "models/{model}, models/{model}@{alias}, models/{model}/versions/{version} or bundles/{digest}"
        raise InvalidArgument(field, f"{text[:200]!r} is not of the form {forms}")
    return ModelReference(check_owned_id(field, match[1]), check_id(field, match[2] or DEFAULT_ALIAS))


def open_name(model: str, alias: str) -> str:
    """Returns the name of an alias in the Open Inference Protocol, which `parse_open_name` reads."""
    return model if alias == DEFAULT_ALIAS else f"{model}@{alias}"


def parse_open_name(name: str, version: str) -> ModelReference:
    """Reads the pair that the Open Inference Protocol names a model by.

    Args:
        name: `{model}@{alias}`, `{model}` (alias `production`), or `bundles/{digest}`.
        version: a number, which only goes with `{model}`, or empty.
    """
    if digest := _BY_DIGEST.fullmatch(name):
        if version:
            raise InvalidArgument("model_version", f"{version[:200]!r}: a bundle that is named by its digest has none")
        return ModelReference("", bundle_digest=digest[1])
    match = _OPEN.fullmatch(name)
    if not match:
        forms = "{model}, {model}@{alias} or bundles/{digest}"
        raise InvalidArgument("model_name", f"{name[:200]!r} is not of the form {forms}")
    model = check_owned_id("model_name", match[1])
    if not version:
        return ModelReference(model, check_id("model_name", match[2] or DEFAULT_ALIAS))
    if match[2]:
        raise InvalidArgument(
            "model_version", f"{version[:200]!r} and the alias {match[2]!r} are two answers to one question"
        )
    if not _NUMBER.fullmatch(version):
        raise InvalidArgument("model_version", f"{version[:200]!r} is not the number of a version")
    return ModelReference(model, version=int(version))
