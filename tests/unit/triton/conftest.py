"""Folders that look like an unpacked wheel."""

import sys
from pathlib import Path

import pytest

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_wheel(folder: Path, *, python: str = PYTHON, numpy: str | None = "1.26.4") -> Path:
    """Makes the files of the wheel that the launcher looks at; returns the binary."""
    server = folder / "pytriton" / "tritonserver"
    files = [
        server / "bin" / "tritonserver",
        server / "backends" / "python" / "libtriton_python.so",
        server / "backends" / "python" / "triton_python_backend_utils.py",
        server / "python_backend_stubs" / python / "triton_python_backend_stub",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o755)
    if numpy is not None:
        metadata = folder / f"numpy-{numpy}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: numpy\nVersion: {numpy}\n")
    return files[0]


@pytest.fixture
def wheel(tmp_path) -> Path:
    make_wheel(tmp_path / "wheel")
    return tmp_path / "wheel"


@pytest.fixture
def wheel_maker(tmp_path):
    def make(**options) -> Path:
        make_wheel(tmp_path / "odd", **options)
        return tmp_path / "odd"

    return make


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path, monkeypatch):
    """Neither PATH nor this environment holds a Triton."""
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr("symbiont.triton.installation.sysconfig.get_path", lambda _: str(tmp_path / "site"))
