"""The command line and environment that start Triton on this machine, for whoever supervises the process."""

import importlib.metadata
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import symbiont
from symbiont.common.errors import FailedPrecondition
from symbiont.common.security.files import Tls
from symbiont.common.threads import QUIET
from symbiont.triton.installation import TritonInstallation

_LOOPBACK = "127.0.0.1"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton puts it, not a temporary file of ours
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Command(NamedTuple):
    """A process to start."""

    argv: list[str]
    env: dict[str, str]


def command(
    installation: TritonInstallation,
    *,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    work_dir: Path,
    exit_timeout_s: int = 5,
    tracing_url: str = "",
    tls: Tls | None = None,
) -> Command:
    """Prepares `work_dir` and returns how to start Triton there, listening on loopback, with no model loaded.

    Preparing it again is harmless, and clears what a killed server with the same gRPC port left in shared memory: call
    it before every start, never while that server runs.

    Args:
        tracing_url: where a collector takes spans by OTLP over HTTP, the only way in which Triton sends them
            (`http://host:4318/v1/traces`); empty for none.
        tls: what its gRPC listens with, and whose clients it takes. Its HTTP, which knows no TLS, is off then; metrics
            stay plain.

    Raises:
        FailedPrecondition: something that Triton needs is missing; the message says how to mend it.
    """
    work_dir = work_dir.absolute()
    repository = work_dir / "models"
    repository.mkdir(parents=True, exist_ok=True)
    clear_shared_memory(grpc_port)
    # A killed Triton leaves its temporary folders; here they are found again, and go.
    temporary = work_dir / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    argv = [
        str(installation.binary),
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        # One host that cannot be loaded must not make the server look dead to whoever supervises it.
        "--strict-readiness=false",
        f"--exit-timeout-secs={exit_timeout_s}",
        f"--backend-config=python,shm-region-prefix-name={_region(grpc_port)}",
    ]
    for protocol, port in (("grpc", grpc_port), ("http", http_port), ("metrics", metrics_port)):
        argv += [f"--{protocol}-address={_LOOPBACK}", f"--{protocol}-port={port}"]
    if tracing_url:
        argv += tracing_arguments(tracing_url)
    if tls:
        argv += tls_arguments(tls)
    env = (
        os.environ
        | QUIET
        | _OFFLINE
        | {"PYTHONPATH": os.pathsep.join(_import_paths(installation)), "TMPDIR": str(temporary)}
    )
    if installation.wheel is not None:
        argv.append(f"--backend-directory={_prepare_backends(installation, work_dir)}")
        env |= _wheel_environment(installation.wheel, _import_paths(installation), work_dir)
    return Command(argv, env)


def tracing_arguments(url: str) -> list[str]:
    """Returns what makes Triton add its spans to the traces that its callers keep, and begin none itself."""
    settings = ("mode=opentelemetry", "level=TIMESTAMPS", "rate=0", f"opentelemetry,url={url}")
    return [f"--trace-config={setting}" for setting in (*settings, "opentelemetry,resource=service.name=triton")]


def tls_arguments(tls: Tls) -> list[str]:
    """Returns what makes Triton take only clients with a certificate of the authority; it reads the files once."""
    return [
        "--allow-http=false",
        "--grpc-use-ssl=true",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={tls.certificate}",
        f"--grpc-server-key={tls.key}",
        f"--grpc-root-cert={tls.ca}",
    ]


def clear_shared_memory(grpc_port: int) -> None:
    """Removes what a server that was killed has left in shared memory."""
    for leftover in _SHARED_MEMORY.glob(f"{_region(grpc_port)}*"):
        leftover.unlink(missing_ok=True)


def _region(grpc_port: int) -> str:
    # Named by the port, so that what a killed server leaves can be told from what a living one uses.
    return f"symbiont_triton_{grpc_port}_"


def _import_paths(installation: TritonInstallation) -> list[str]:
    """Where the backend's interpreter finds modules: the wheel's numpy first, then what this process has."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    # An editable install is a .pth file, which PYTHONPATH does not process.
    folders.append(str(Path(symbiont.__path__[0]).absolute().parent))
    if installation.wheel is not None:
        folders.insert(0, str(installation.wheel))
    return list(dict.fromkeys(folders))


def _prepare_backends(installation: TritonInstallation, work_dir: Path) -> Path:
    """Puts the Python backend together: the wheel keeps one stub per Python version apart from it."""
    source = installation.server_folder
    stub = source / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        versions = sorted(folder.name for folder in (source / "python_backend_stubs").glob("*"))
        raise FailedPrecondition(
            f"this Triton has no Python backend for Python {_PYTHON}; run Symbiont with one of {', '.join(versions)}",
            reason="TRITON_PYTHON_UNSUPPORTED",
        )
    folder = work_dir / "backends" / "python"
    for file in (*(source / "backends" / "python").glob("*[!_]"), stub):
        if file.is_file():
            _link(folder / file.name, file)
    return folder.parent


def _wheel_environment(wheel: Path, import_paths: list[str], work_dir: Path) -> dict[str, str]:
    """The wheel's backend embeds Python in a way that ignores PYTHONPATH and takes the first `python3` on PATH.

    So it is given an environment of its own there, which lists the same folders in a .pth file.
    """
    _require_old_numpy(wheel)
    environment = work_dir / "python"
    base = Path(sys.base_prefix)
    _link(environment / "bin" / "python3", base / "bin" / f"python{_PYTHON}")
    (environment / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\ninclude-system-site-packages = false\n")
    packages = environment / "lib" / f"python{_PYTHON}" / "site-packages"
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "symbiont.pth").write_text("".join(f"{path}\n" for path in import_paths))
    library = _libpython()
    _link(work_dir / "lib" / library.name, library)
    libraries = [str(wheel / "nvidia_pytriton.libs"), str(work_dir / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        "PATH": os.pathsep.join([str(environment / "bin"), os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
    }


def _require_old_numpy(wheel: Path) -> None:
    """The wheel's backend was built before numpy 2 moved the fields that it reads: tensors would come out wrong."""
    paths = [str(wheel), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    found = next(iter(importlib.metadata.distributions(name="numpy", path=paths)), None)
    if found is None or int(found.version.split(".")[0]) >= 2:
        raise FailedPrecondition(
            f"this Triton needs numpy 1 beside it: pip install --no-deps --target {wheel} 'numpy<2'",
            reason="TRITON_NUMPY_MISSING",
        )


def _libpython() -> Path:
    name = f"libpython{_PYTHON}.so.1.0"
    folders = [sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix) / "lib", sysconfig.get_config_var("LIBPL")]
    if multiarch := sysconfig.get_config_var("MULTIARCH"):
        folders.append(Path("/usr/lib") / multiarch)
    for folder in filter(None, folders):
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise FailedPrecondition(
        f"{name} is missing, which Triton's Python backend loads: install it (Debian: apt install libpython{_PYTHON}), "
        "or build Python with --enable-shared",
        reason="LIBPYTHON_MISSING",
    )


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
