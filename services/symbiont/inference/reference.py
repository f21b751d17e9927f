"""How a caller says which model it means."""

import re
from dataclasses import dataclass

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import check_id, parse_version_name

DEFAULT_ALIAS = "production"
_BY_ALIAS = re.compile(r"models/([^/@]+)(?:@([^/@]+))?")


@dataclass(frozen=True)
class ModelReference:
    """A model by version when `version` is not 0, else by alias."""

    model: str
    alias: str = DEFAULT_ALIAS
    version: int = 0


def parse_reference(field: str, text: str) -> ModelReference:
    """Reads `models/{model}@{alias}`, `models/{model}` (alias `production`) or `models/{model}/versions/{version}`."""
    if "/versions/" in text:
        model, number = parse_version_name(field, text)
        return ModelReference(model, version=number)
    match = _BY_ALIAS.fullmatch(text)
    if not match:
        forms = "models/{model}, models/{model}@{alias} or models/{model}/versions/{version}"
        raise InvalidArgument(field, f"{text[:200]!r} is not of the form {forms}")
    return ModelReference(check_id(field, match[1]), check_id(field, match[2] or DEFAULT_ALIAS))
