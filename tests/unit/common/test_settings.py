"""Settings come from flags, then the environment, then defaults; every problem is told at once."""

import os
from pathlib import Path

import pytest

from symbiont.common.artifacts.cache import open_cache
from symbiont.common.settings import ServiceSettings, split_address


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADDRESS", "LOG_LEVEL", "DRAIN_SECONDS", "ARTIFACT_ROOT", "ARTIFACT_CACHE", "ARTIFACT_CACHE_BYTES"):
        monkeypatch.delenv(f"SYMBIONT_{name}", raising=False)


def read(monkeypatch: pytest.MonkeyPatch, *flags: str) -> ServiceSettings:
    monkeypatch.setattr("sys.argv", ["program", *flags])
    return ServiceSettings.from_command_line("program", "Does something.")


def test_a_flag_wins_over_the_environment_and_that_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMBIONT_ADDRESS", "127.0.0.2:1")
    monkeypatch.setenv("SYMBIONT_ARTIFACT_ROOT", "/data")
    settings = read(monkeypatch, "--address", "127.0.0.2:2")
    assert settings.address == "127.0.0.2:2"
    assert settings.artifact_root == Path("/data")
    assert settings.drain_seconds == 10.0


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SYMBIONT_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit) as caught:
        read(monkeypatch, "--drain-seconds", "-1")
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert "SYMBIONT_LOG_LEVEL (--log-level)" in told
    assert "SYMBIONT_DRAIN_SECONDS (--drain-seconds)" in told


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_the_root_of_the_artifacts_may_be_a_url(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "variable":
        monkeypatch.setenv("SYMBIONT_ARTIFACT_ROOT", "s3://bucket/prefix")
    settings = read(monkeypatch, *(["--artifact-root=s3://bucket/prefix"] if how == "flag" else []))
    assert settings.artifact_root == "s3://bucket/prefix"


def test_a_root_that_is_no_place_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(monkeypatch, "--artifact-root=gs://bucket")
    assert "SYMBIONT_ARTIFACT_ROOT (--artifact-root)" in (told := capsys.readouterr().err)
    assert "s3://bucket/prefix" in told


def test_flags_of_the_cache_reach_every_store_and_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    # To be put back in the end, whatever the settings do.
    for name in ("SYMBIONT_ARTIFACT_CACHE", "SYMBIONT_ARTIFACT_CACHE_BYTES"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    read(monkeypatch)
    assert "SYMBIONT_ARTIFACT_CACHE" not in os.environ
    read(monkeypatch, "--artifact-cache=near", "--artifact-cache-bytes=7")
    assert os.environ["SYMBIONT_ARTIFACT_CACHE"] == str(tmp_path / "near")
    assert os.environ["SYMBIONT_ARTIFACT_CACHE_BYTES"] == "7"
    assert open_cache().folder == tmp_path / "near"


def test_traces_without_their_packages_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(monkeypatch, "--tracing-endpoint=collector:4317").tracing_endpoint == "collector:4317"
    monkeypatch.setattr("symbiont.common.settings.can_export", lambda: False)
    assert read(monkeypatch).tracing_endpoint == ""
    with pytest.raises(SystemExit):
        read(monkeypatch, "--tracing-endpoint=collector:4317")
    assert "pip install 'symbiont[tracing]'" in capsys.readouterr().err


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ServiceSettings().address = "x"  # type: ignore[misc]


@pytest.mark.parametrize(("text", "parts"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::]:0", ("[::]", 0))])
def test_an_address(text: str, parts: tuple[str, int]) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:http"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)
