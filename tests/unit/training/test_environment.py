"""On what a version was made."""

import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from symbiont.training.environment import _packages, environment


def test_packages_are_all_that_are_installed() -> None:
    # Tests before this one may have added folders to look in.
    _packages.cache_clear()
    # Of a package that is there twice the first is imported.
    every = reversed([*distributions()])
    wanted = {one.name.lower().replace("_", "-"): one.version for one in every if one.name}
    found = environment().packages
    assert found == dict(sorted(wanted.items()))
    assert {"torch", "symbiont"} <= found.keys()


def test_of_a_package_that_is_there_twice_the_first_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, number in (("first", "4.14.8"), ("second", "4.4.0")):
        (tmp_path / folder / "twice.dist-info").mkdir(parents=True)
        (tmp_path / folder / "twice.dist-info" / "METADATA").write_text(f"Name: Twice\nVersion: {number}\n\nText.")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "first"), str(tmp_path / "second")])
    _packages.cache_clear()
    assert _packages()["twice"] == "4.14.8"
    _packages.cache_clear()
