"""Settings that every test needs before the libraries are imported."""

import os

import pytest

# The models of most tests are tiny: threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# No test reaches a hub.
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps tests that share a running server in one process: those of a file, and of the suite of tests/e2e."""
    for item in items:
        shares_suite = "suite" in getattr(item, "fixturenames", ()) and item.path.parent.name == "e2e"
        item.add_marker(pytest.mark.xdist_group(str(item.path.parent if shares_suite else item.path)))
