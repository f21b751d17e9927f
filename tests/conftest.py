"""Settings that every test needs before the libraries are imported."""

import gc
import os
import resource
import signal
import sys
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

# The models of most tests are tiny: threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# Answers are held to what fp32 gives, whatever else this CPU has.
os.environ["SYMBIONT_HOST_PRECISION"] = "fp32"
# Services on loopback, without certificates, where a test is not about these.
os.environ.setdefault("SYMBIONT_INSECURE", "true")
# No test reaches a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
# Who is ended by it here ends, though the tests run in the background, whose processes ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# After the settings, which what it imports reads.
from support.service import ServiceProcess  # noqa: E402

ServiceProcess.forked = True

SHARING = [f"tests/e2e/{name}.py" for name in ("test_faults", "test_path", "test_releases", "test_benchmarks")]


# How many modules there were when all that lived was last set apart.
_seen_modules = 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every attempt collects garbage; what was imported is none, and to look takes longer than a tiny training."""
    global _seen_modules
    if len(sys.modules) > _seen_modules + 50:
        gc.collect()
        gc.freeze()
        _seen_modules = len(sys.modules)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says what the run took of the processors, which the clock of a busy machine does not."""
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = sum(of.ru_utime + of.ru_stime for of in ended)
    terminalreporter.write_line(f"{spent:.0f} s of processor time, on {os.cpu_count()} processors")


class OneProcessPerServer(LoadFileScheduling):
    """Spreads files over processes; files that share a running suite stay together."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the suite" if file in SHARING else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneProcessPerServer:
    """Tells pytest-xdist how to spread the tests."""
    return OneProcessPerServer(config, log)
