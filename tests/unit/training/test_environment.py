"""On what a version was made."""

from importlib.metadata import distributions

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
