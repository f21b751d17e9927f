"""Each check says what is missing and how to mend it."""

import socket
from pathlib import Path
from typing import Any

import pytest

from symbiont.common.errors import FailedPrecondition
from symbiont.local import checks, ports
from symbiont.local.checks import GIB, Level
from symbiont.local.home import Home, RunRecord, own_identity
from symbiont.local.services import NAMES


@pytest.mark.parametrize(("version", "level"), [((3, 10), Level.FAIL), ((3, 11), Level.OK), ((3, 13), Level.FAIL)])
def test_python(version: tuple[int, int], level: Level) -> None:
    assert checks.python_version(version).level is level


def test_packages_are_not_imported() -> None:
    check = checks.packages("p", ("json", "no_such_module"), Level.WARN, "pip install it")
    assert (check.level, check.detail, check.remedy) == (Level.WARN, "not installed: no_such_module", "pip install it")
    assert checks.packages("p", ("antigravity",), Level.FAIL, "").level is Level.OK


@pytest.mark.parametrize(("free", "level"), [(GIB // 2, Level.FAIL), (3 * GIB, Level.WARN), (64 * GIB, Level.OK)])
def test_disk_and_memory(free: int, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free})())
    for check in (checks.disk(tmp_path / "not" / "yet"), checks.memory(free)):
        assert check.level is level
        assert bool(check.remedy) == (level is not Level.OK)


def test_busy_ports_are_no_fault() -> None:
    with socket.create_server((ports.HOST, 0)) as busy:
        port = busy.getsockname()[1]
        check = checks.free_ports({"training": port})
    assert (check.level, check.detail) == (Level.WARN, f"busy: {port} (training)")
    assert checks.free_ports({"training": port}).level is Level.OK


def test_libraries_that_the_linker_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ldd = tmp_path / "ldd"
    ldd.write_text("#!/bin/sh\necho '\tlibc.so.6 => /lib/libc.so.6 (0x1)'\necho \"\tlibre2.so.9 => not found\"\n")
    ldd.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert checks.unresolved_libraries(["a", "b"], {"PATH": "/usr/bin"}) == ["libre2.so.9"]


def test_a_missing_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(where: Any) -> Any:
        raise FailedPrecondition("no Triton server found: install it")

    monkeypatch.setattr(checks, "find_triton", missing)
    check = checks.triton_server(None)
    assert (check.level, check.detail, check.remedy) == (Level.FAIL, "no Triton server found", "install it")


def test_health_of_a_running_suite(suite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "http_ready", lambda url: False)
    home = Home(tmp_path)
    addresses = dict.fromkeys(NAMES, suite.address)
    home.write_run(RunRecord(supervisor=own_identity(), addresses=addresses, metrics_urls=dict.fromkeys(NAMES, "x")))
    found = {check.name: check.level for check in checks.all_checks(home)}
    assert (found["training"], found["triton"]) == (Level.OK, Level.FAIL)
    assert "ports" not in found


def test_everything_on_this_machine(tmp_path: Path) -> None:
    names = [check.name for check in checks.all_checks(Home(tmp_path))]
    assert names == ["Python", "packages", "demo packages", "Triton", "disk", "memory", "ports", "suite"]
