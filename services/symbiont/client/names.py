"""Resource names, also by their last part: `sentiment` for `models/sentiment`."""


def full_name(collection: str, name: str) -> str:
    """Returns `{collection}/{name}`, or the name itself when it says its collection already."""
    return name if name.startswith(f"{collection}/") else f"{collection}/{name}"


def short_name(name: str) -> str:
    """Returns a resource name without its collection: `models/a/versions/2` gives `a/versions/2`."""
    return name.partition("/")[2]


def version_name(model: str, version: int) -> str:
    """Returns `models/{model}/versions/{version}` for a model's id or name."""
    return f"{full_name('models', model)}/versions/{version}"
