"""Where a person says that files lie: a folder of this machine, or a folder inside an installed package."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from symbiont.common.errors import InvalidArgument


def in_folder(field: str, location: str) -> Path:
    """Returns a folder of this machine; InvalidArgument when there is none of that name."""
    folder = Path(location).expanduser()
    if not location or not folder.is_dir():
        raise InvalidArgument(field, f"{location!r} is not a folder on the machine of this service")
    return folder


def in_package(field: str, package: str, folder: str, is_source: Callable[[Path], bool], what: str) -> Path:
    """Returns a folder inside an installed package, of which no code runs.

    Args:
        field: path of the message with the fields `package` and `folder`.
        package: import name.
        folder: path inside the package; empty for the only folder that `is_source` says yes to.
        what: what such a folder holds, for the refusal.

    Raises:
        InvalidArgument: there is no such package or folder, or not exactly one folder to take.
    """
    if not package.isidentifier():
        raise InvalidArgument(f"{field}.package", f"{package!r} is not the import name of a package")
    # Finding is not importing: no code of the package runs.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidArgument(f"{field}.package", f"{package!r} is not installed beside this service")
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    if folder:
        named = (root / folder).resolve()
        if not named.is_dir() or not named.is_relative_to(root):
            raise InvalidArgument(f"{field}.folder", f"{folder!r} is not a folder in {package}")
        return named
    found = sorted({path.parent for path in root.rglob("*.json") if is_source(path.parent)})
    if len(found) != 1:
        inside = ", ".join(str(path.relative_to(root)) for path in found[:10])
        problem = f"{package} has {len(found)} folders with {what}; name the one to take"
        raise InvalidArgument(f"{field}.folder", f"{problem}: {inside}" if inside else problem)
    return found[0]
