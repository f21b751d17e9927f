"""The customer's own layers that are installed here, as entry points of Python packages.

A package names a function or a class in the group `symbiont.modules`. Called with the width of what it will get, and
with the settings of a spec as keyword arguments, it returns a torch.nn.Module from [rows, width] to [rows, any width].
"""

from importlib.metadata import EntryPoint, entry_points

GROUP = "symbiont.modules"


def installed() -> dict[str, EntryPoint]:
    """Returns those that are here, by name; none is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def unknown(name: str) -> str:
    """Says that there is no module of a name, and what there is."""
    there = ", ".join(installed()) or "none"
    return f"no module {name!r} is installed here; installed: {there}. Packages name theirs as entry points of {GROUP}"
