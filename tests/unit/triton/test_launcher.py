import os
import sys
from pathlib import Path

import pytest

import symbiont
from symbiont.common.errors import FailedPrecondition
from symbiont.triton.installation import TritonInstallation, find_triton
from symbiont.triton.launcher import command

PORTS = {"grpc_port": 40001, "http_port": 40002, "metrics_port": 40003}


@pytest.fixture(autouse=True)
def shared_memory(tmp_path, monkeypatch) -> Path:
    """A folder in place of /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr("symbiont.triton.launcher._SHARED_MEMORY", folder)
    return folder


def test_it_listens_on_loopback_alone_and_starts_empty(wheel, tmp_path):
    argv, _ = command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work")
    assert argv[0] == str(wheel / "pytriton" / "tritonserver" / "bin" / "tritonserver")
    for protocol, port in (("grpc", 40001), ("http", 40002), ("metrics", 40003)):
        assert {f"--{protocol}-address=127.0.0.1", f"--{protocol}-port={port}"} <= set(argv)
    assert "--model-control-mode=explicit" in argv
    assert list((tmp_path / "work" / "models").iterdir()) == []


def test_the_backend_is_put_together(wheel, tmp_path):
    argv, _ = command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work")
    folder = tmp_path / "work" / "backends"
    assert f"--backend-directory={folder}" in argv
    assert {file.name for file in (folder / "python").iterdir() if file.resolve(strict=True)} == {
        "libtriton_python.so",
        "triton_python_backend_stub",
        "triton_python_backend_utils.py",
    }


def test_the_backend_imports_this_package_and_the_numpy_beside_the_wheel(wheel, tmp_path):
    _, env = command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work")
    paths = env["PYTHONPATH"].split(os.pathsep)
    assert paths[0] == str(wheel)
    assert str(Path(symbiont.__path__[0]).parent) in paths
    environment = Path(env["PATH"].split(os.pathsep)[0]).parent
    assert (environment / "bin" / "python3").resolve(strict=True)
    (pth,) = environment.rglob("*.pth")
    assert pth.read_text().split() == paths


def test_the_linker_finds_libpython_and_the_libraries_of_the_wheel(wheel, tmp_path):
    _, env = command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work")
    libraries, own, *_ = env["LD_LIBRARY_PATH"].split(os.pathsep)
    assert libraries == str(wheel / "nvidia_pytriton.libs")
    (libpython,) = Path(own).iterdir()
    assert libpython.resolve(strict=True).name.startswith("libpython3.")


def test_idle_threads_do_not_spin(wheel, tmp_path):
    assert command(find_triton(wheel), **PORTS, work_dir=tmp_path)[1]["OMP_WAIT_POLICY"] == "PASSIVE"


def test_preparing_twice_is_the_same(wheel, tmp_path):
    first = command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work")
    assert command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work") == first


def test_what_a_killed_server_left_is_cleared_and_no_other(wheel, tmp_path, shared_memory):
    (shared_memory / "symbiont_triton_40001_x").touch()
    (shared_memory / "symbiont_triton_400011_x").touch()
    command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work")
    assert [file.name for file in shared_memory.iterdir()] == ["symbiont_triton_400011_x"]


def test_a_complete_server_keeps_its_own_backends_and_libraries(tmp_path):
    installation = TritonInstallation(tmp_path / "tritonserver", None)
    argv, env = command(installation, **PORTS, work_dir=tmp_path / "work")
    assert not [argument for argument in argv if argument.startswith("--backend-directory")]
    assert env.get("LD_LIBRARY_PATH") == os.environ.get("LD_LIBRARY_PATH")


@pytest.mark.parametrize("numpy", [None, "2.4.6"])
def test_a_wheel_without_numpy_1_says_what_to_do(wheel_maker, tmp_path, monkeypatch, numpy):
    installation = find_triton(wheel_maker(numpy=numpy))
    with pytest.raises(FailedPrecondition, match=r"pip install .*'numpy<2'") as caught:
        command(installation, **PORTS, work_dir=tmp_path / "work")
    assert caught.value.reason == "TRITON_NUMPY_MISSING"


def test_another_python_says_which_ones_work(wheel_maker, tmp_path):
    with pytest.raises(FailedPrecondition, match=r"one of 3\.8"):
        command(find_triton(wheel_maker(python="3.8")), **PORTS, work_dir=tmp_path / "work")


def test_a_missing_libpython_says_what_to_do(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr("symbiont.triton.launcher.sysconfig.get_config_var", lambda _: None)
    with pytest.raises(FailedPrecondition, match="libpython") as caught:
        command(find_triton(wheel), **PORTS, work_dir=tmp_path / "work")
    assert caught.value.reason == "LIBPYTHON_MISSING"
