"""Resource names, also by their last part: `sentiment` for `models/sentiment`."""

from symbiont.api.training.v1.model_pb2 import Model, ModelAlias

# What operators are told of what is a tenant's: tenants/bank/models/mood.
_TENANTS = "tenants/"


def full_name(collection: str, name: str) -> str:
    """Returns `{collection}/{name}`, or the name itself when it says its collection already.

    An operator's `tenants/{tenant}/{name}` gives `tenants/{tenant}/{collection}/{name}`.
    """
    if name.startswith(_TENANTS) and name.count("/") > 1:
        _, tenant, rest = name.split("/", 2)
        return f"{_TENANTS}{tenant}/{full_name(collection, rest)}"
    return name if name.startswith(f"{collection}/") else f"{collection}/{name}"


def short_name(name: str) -> str:
    """Returns a resource name without its collection: `models/a/versions/2` gives `a/versions/2`."""
    if name.startswith(_TENANTS) and name.count("/") > 1:
        _, tenant, rest = name.split("/", 2)
        return f"{_TENANTS}{tenant}/{short_name(rest)}"
    return name.partition("/")[2]


def alias_name(model: str) -> str:
    """Returns `models/{model}/aliases/{alias}` for `{model}@{alias}`, or `{model}`, which means `@production`."""
    identifier, _, alias = full_name("models", model).partition("@")
    return f"{identifier}/aliases/{alias or 'production'}"


def alias_of(model: Model, name: str) -> ModelAlias:
    """Returns the alias that `{model}@{alias}` means; ValueError when the model has none of that name."""
    wanted = name.partition("@")[2] or "production"
    for alias in model.aliases:
        if alias.alias == wanted:
            return alias
    raise ValueError(f"{model.name} has no alias {wanted!r}")


def version_name(model: str, version: int) -> str:
    """Returns `models/{model}/versions/{version}` for a model's id or name."""
    return f"{full_name('models', model)}/versions/{version}"
