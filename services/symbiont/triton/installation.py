"""Finds a Triton server on this machine."""

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from symbiont.common.errors import FailedPrecondition

_WHEEL_BINARY = Path("pytriton/tritonserver/bin/tritonserver")
_TOOLS = Path(".tools/triton")
_REMEDY = (
    "install it beside the environment with\n"
    "    pip install --no-deps --target .tools/triton nvidia-pytriton==0.7.0 'numpy<2'\n"
    "or name a tritonserver binary in the settings"
)


@dataclass(frozen=True, slots=True)
class TritonInstallation:
    """A tritonserver binary and, where it comes from the nvidia-pytriton wheel, the folder that holds the wheel.

    Outside a wheel the server is taken to be complete, as in NVIDIA's own image: it knows its backends.
    """

    binary: Path
    wheel: Path | None

    @property
    def server_folder(self) -> Path:
        """The folder that holds `bin` and `backends`."""
        return self.binary.parent.parent


def find_triton(explicit: Path | None = None, *, start: Path | None = None) -> TritonInstallation:
    """Returns the first Triton found: as named, in this environment, in `.tools/triton` of this project, on PATH.

    Args:
        explicit: a tritonserver binary, or a folder where the nvidia-pytriton wheel is unpacked.
        start: where the search for `.tools/triton` begins, upwards; by default the working folder and this package.

    Raises:
        FailedPrecondition: there is none; the message says how to get one.
    """
    if explicit is not None:
        return _from_setting(explicit.absolute())
    here = (start or Path.cwd()).absolute()
    above = [here, *here.parents]
    if start is None:
        # A clone of the project keeps its Triton, wherever its command is called.
        above += Path(__file__).parents
    folders = [Path(sysconfig.get_path("purelib")), *(parent / _TOOLS for parent in above)]
    for folder in folders:
        if (folder / _WHEEL_BINARY).is_file():
            return TritonInstallation(folder / _WHEEL_BINARY, folder)
    if (found := shutil.which("tritonserver")) is not None:
        return _from_binary(Path(found).resolve())
    raise FailedPrecondition(f"no Triton server found: {_REMEDY}", reason="TRITON_MISSING")


def _from_setting(path: Path) -> TritonInstallation:
    if (path / _WHEEL_BINARY).is_file():
        return TritonInstallation(path / _WHEEL_BINARY, path)
    if path.is_file():
        return _from_binary(path)
    raise FailedPrecondition(f"{path} is neither a tritonserver nor holds one: {_REMEDY}", reason="TRITON_MISSING")


def _from_binary(path: Path) -> TritonInstallation:
    folder = path.parents[len(_WHEEL_BINARY.parts) - 1]
    return TritonInstallation(path, folder if folder / _WHEEL_BINARY == path else None)
