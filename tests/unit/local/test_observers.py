"""What observers of a suite are started with, and what is said where there are none."""

import json
from pathlib import Path

import pytest
import yaml

from symbiont.common.errors import FailedPrecondition
from symbiont.local.home import Home
from symbiont.local.observers import PROGRAMS, RETENTION, find, observer_specs, scraping
from symbiont.local.services import ALERTMANAGER, DEFAULT_PORTS, OBSERVER_PORTS, PROMETHEUS, Ports

DEPLOY = Path(__file__).parents[3] / "deploy/prometheus"
PORTS = Ports(DEFAULT_PORTS | OBSERVER_PORTS)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file under each program's first name, alone on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, *_ in PROGRAMS.values():
        (folder / name).touch(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_what_is_scraped_is_what_the_file_for_one_machine_says() -> None:
    written = yaml.safe_load((DEPLOY / "one-machine.yml").read_text())
    made = scraping(PORTS.metrics_urls, PORTS.address(ALERTMANAGER))
    rules = {Path(path).resolve() for path in made.pop("rule_files")}
    assert rules == set(DEPLOY.glob(written.pop("rule_files")[0]))
    by_job = {job["job_name"]: job for job in written.pop("scrape_configs")}
    assert {job["job_name"]: job for job in made.pop("scrape_configs")} == by_job
    assert made == written


def test_where_a_suite_moved_it_is_scraped(programs: Path, tmp_path: Path) -> None:
    moved = Ports({**PORTS.of, "inference-metrics": 4711})
    (spec,) = observer_specs(Home(tmp_path), moved, [PROMETHEUS])
    argv, _ = spec.command()
    assert argv[0] == str(programs / "prometheus")
    assert "--web.listen-address=127.0.0.1:9090" in argv
    assert f"--storage.tsdb.retention.time={RETENTION}" in argv
    config = json.loads((tmp_path / "prometheus/prometheus.yml").read_text())
    *jobs, own = config["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    # What a user puts there, as the rules and targets of solutions, stays when the suite starts again.
    folder = tmp_path / "prometheus"
    assert own == {"job_name": "own", "file_sd_configs": [{"files": [str(folder / "targets/*.json")]}]}
    assert config["rule_files"][-1] == str(folder / "rules/*.yml")
    assert (folder / "rules").is_dir()
    assert targets["inference"] == ["127.0.0.1:4711"]
    assert set(targets) == {"tokenization", "training", "triton", "inference"}


def test_nobody_is_told_where_there_is_no_alertmanager() -> None:
    assert scraping(PORTS.metrics_urls)["alerting"] == {"alertmanagers": []}


def test_whom_the_alertmanager_tells_stays_as_it_was_edited(programs: Path, tmp_path: Path) -> None:
    (spec,) = observer_specs(Home(tmp_path), PORTS, [ALERTMANAGER])
    config = tmp_path / "alertmanager/alertmanager.yml"
    spec.command()
    assert config.read_text() == (DEPLOY / "alertmanager.yml").read_text()
    config.write_text("edited")
    spec.command()
    assert config.read_text() == "edited"


def test_a_program_by_the_name_that_debian_gives_it(programs: Path) -> None:
    (programs / "alertmanager").rename(programs / "prometheus-alertmanager")
    assert find(ALERTMANAGER) == str(programs / "prometheus-alertmanager")


def test_what_is_missing_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FailedPrecondition, match=r"there is no prometheus on the PATH: install it .* apt install"):
        observer_specs(Home(tmp_path), PORTS, [PROMETHEUS])
