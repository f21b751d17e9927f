"""The Dockerfile: its targets start the code that exists, carry what that code imports, and no more."""

import fnmatch
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from symbiont.triton import launcher
from symbiont.triton.installation import TritonInstallation

ROOT = Path(__file__).parents[2]
SERVICES = ("tokenization", "training", "inference")
TARGETS = (*SERVICES, "triton")
# Distributions whose import name differs.
IMPORT_NAMES = {"scikit-learn": "sklearn"}


def project() -> dict[str, Any]:
    parsed: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return parsed


def distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in requirements}


def test_there_is_a_target_for_each_part(stages: dict[str, str]) -> None:
    assert set(TARGETS) <= stages.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_its_own_module(service: str, stages: dict[str, str]) -> None:
    found = re.search(r"^ENTRYPOINT (\[.*\])$", stages[service], flags=re.MULTILINE)
    assert found
    assert json.loads(found[1]) == ["python", "-m", f"symbiont.{service}"]
    assert importlib.util.find_spec(f"symbiont.{service}.__main__")


@pytest.mark.parametrize("target", TARGETS)
def test_exposed_ports_are_those_of_the_settings(
    target: str, stages: dict[str, str], ports: dict[str, dict[str, int]]
) -> None:
    found = re.search(r"^EXPOSE (.*)$", stages[target], flags=re.MULTILINE)
    assert found
    assert {int(port) for port in found[1].split()} == set(ports[target].values())


def test_every_image_ends_as_one_unprivileged_user(stages: dict[str, str]) -> None:
    for stage in ("runtime", "triton"):
        (uid,) = re.findall(r"useradd --uid (\d+) ", stages[stage])
        assert int(uid) > 0
        assert re.findall(r"^USER (.*)$", stages[stage], flags=re.MULTILINE)[-1] == f"{uid}:{uid}"
    for service in SERVICES:
        assert "USER" not in stages[service]


def test_packages_come_with_their_exact_versions(stages: dict[str, str]) -> None:
    installs = [line for text in stages.values() for line in re.findall(r"pip install [^&\n]*", text)]
    assert len(installs) == 8
    for line in installs:
        assert "-c constraints.txt" in line or "--no-deps" in line
        assert "--no-cache-dir" in line


def test_extras_exist(stages: dict[str, str]) -> None:
    named = {name for names in re.findall(r"'\.\[([\w,]+)\]'", "".join(stages.values())) for name in names.split(",")}
    assert named == {"train", "pii", "engine", "ann", "s3", "kubernetes", "postgresql", "tracing", "vault"}
    assert named <= project()["optional-dependencies"].keys()


def test_what_is_copied_is_in_the_build_context(stages: dict[str, str]) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / entry).exists() for entry in kept)
    for text in stages.values():
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, flags=re.MULTILINE):
            *sources, _ = line.split()
            for source in sources:
                assert (ROOT / source).exists()
                assert any(fnmatch.fnmatch(entry, f"{source}*") for entry in kept), f"{source} is ignored"


@pytest.mark.parametrize("service", ["tokenization", "inference"])
def test_small_images_carry_all_that_is_imported(service: str) -> None:
    """These two start without what only an extra brings: faiss is loaded when a catalogue needs it."""
    optional = project()["optional-dependencies"]
    extra = distributions(optional["engine"] + optional["train"] + optional["ann"]) - distributions(
        project()["dependencies"]
    )
    modules = sorted(IMPORT_NAMES.get(name, name) for name in extra)
    assert "torch" in modules
    code = f"import sys, symbiont.{service}.__main__; print(*(set({modules!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_triton_is_started_as_the_local_run_starts_it(stages: dict[str, str], tmp_path: Path) -> None:
    """Same flags and environment, but for paths, ports, addresses and what only the nvidia-pytriton wheel needs."""
    installation = TritonInstallation(binary=Path("/opt/tritonserver/bin/tritonserver"), wheel=None)
    argv, environment = launcher.command(installation, grpc_port=0, http_port=0, metrics_port=0, work_dir=tmp_path)
    command = re.search(r"^CMD (\[.*\])$", stages["triton"], flags=re.MULTILINE)
    assert command
    program, *flags = json.loads(command[1])
    assert program == "tritonserver"
    own = re.compile(r"--(model-repository|exit-timeout-secs|backend-config|(grpc|http|metrics)-(port|address))=")
    assert {flag for flag in argv[1:] if not own.match(flag)} <= set(flags)
    # One host that cannot be loaded must not take the others' callers away.
    assert "--strict-readiness=false" in flags
    said = dict(re.findall(r"(\w+)=(\S+)", "".join(re.findall(r"^ENV (.*)$", stages["triton"], flags=re.MULTILINE))))
    changed = {key: value for key, value in environment.items() if os.environ.get(key) != value}
    # A container's own /tmp goes with the container.
    assert changed.pop("PYTHONPATH")
    assert changed.pop("TMPDIR")
    assert changed.items() <= said.items()


def test_triton_is_the_release_of_its_client() -> None:
    """The comment beside the image's tag names the Triton version; the client is pinned to the same."""
    release = re.search(r"is Triton (\d+\.\d+)", (ROOT / "deploy/Dockerfile").read_text())
    assert release
    assert any(d.startswith(f"tritonclient[grpc]=={release[1]}.") for d in project()["dependencies"])


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([hadolint, ROOT / "deploy" / "Dockerfile"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
