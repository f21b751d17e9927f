"""Where a person says that files lie: a folder of this machine, or a folder inside an installed package."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from symbiont.common.errors import InvalidArgument


def in_folder(field: str, location: str) -> Path:
    """Returns a folder of this machine; InvalidArgument when there is none of that name."""
    try:
        folder = Path(location).expanduser()
        if location and folder.is_dir():
            return folder
    except (OSError, ValueError, RuntimeError):
        # Too long, with a NUL, or of a user that there is not.
        pass
    raise InvalidArgument(field, f"{location[:200]!r} is not a folder on the machine of this service")


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
        raise InvalidArgument(f"{field}.package", f"{package[:200]!r} is not the import name of a package")
    # Finding is not importing: no code of the package runs.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidArgument(f"{field}.package", f"{package!r} is not installed beside this service")
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    if folder:
        return _inside(f"{field}.folder", root, folder, package)
    found = sorted({path.parent for path in root.rglob("*.json") if is_source(path.parent)})
    if len(found) != 1:
        inside = ", ".join(str(path.relative_to(root)) for path in found[:10])
        problem = f"{package} has {len(found)} folders with {what}; name the one to take"
        raise InvalidArgument(f"{field}.folder", f"{problem}: {inside}" if inside else problem)
    return found[0]


def _inside(field: str, root: Path, folder: str, package: str) -> Path:
    try:
        named = (root / folder).resolve()
        if named.is_dir() and named.is_relative_to(root):
            return named
    except (OSError, ValueError, RuntimeError):
        # As in `in_folder`; a circle of links, too.
        pass
    raise InvalidArgument(field, f"{folder[:200]!r} is not a folder in {package}")


MAX_JSON_BYTES = 64 << 20


def check_links(field: str, folder: Path) -> None:
    """Refuses links that lead out of a folder: a caller may have this service read no more than what it names.

    The snapshots of a cache of the Hugging Face Hub are links to its blobs, and may be.

    Raises:
        InvalidArgument: names the link.
    """
    real = folder.resolve()
    inside = [real, real.parent.parent / "blobs"] if real.parent.name == "snapshots" else [real]
    for path in (*folder.glob("*"), *folder.glob("1_Pooling/*")):
        if path.is_symlink() and not any(path.resolve().is_relative_to(place) for place in inside):
            name = path.relative_to(folder)
            raise InvalidArgument(field, f"{name} is a link that leads out of the folder; put the file itself there")


def read_object(field: str, path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file that somebody else wrote.

    Raises:
        InvalidArgument: it is no plain file, too large, or no JSON object.
    """
    if not path.is_file():
        raise InvalidArgument(field, f"there is no {path.name} in {path.parent}")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InvalidArgument(field, f"{path.name} is over {MAX_JSON_BYTES} bytes")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as exc:
        raise InvalidArgument(field, f"{path.name} is not JSON") from exc
    if not isinstance(value, dict):
        raise InvalidArgument(field, f"{path.name} is not a JSON object")
    return value


def whole_number(field: str, name: str, value: Any) -> int:
    """Returns a number of somebody else's settings; InvalidArgument unless it is 1 to 16,777,216."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1 << 24:
        raise InvalidArgument(field, f"{name} is not a whole number from 1 to {1 << 24}")
    return value
