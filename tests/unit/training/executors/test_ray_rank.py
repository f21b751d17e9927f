"""The process of one rank, without Ray: heard, signalled, and never left behind."""

import signal
import subprocess
import sys

import psutil
import pytest

from support.waiting import until_sync
from symbiont.training.executors.ray_rank import Rank

LINGER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
# Leaves one of its own behind, which holds its output open.
FORKS = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {LINGER!r}]); sys.exit(5)"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def rest(rank: Rank) -> tuple[bytes, int]:
    """Polls to the end; returns everything that was printed, and the status."""
    said = b""
    while True:
        output, status = rank.poll(10)
        said += output
        if status is not None:
            return said, status


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_program_runs_with_its_variables_and_is_heard_to_the_end() -> None:
    rank = Rank()
    pid = rank.start(
        python("import os, sys; print(os.getpid(), os.environ['RANK'], flush=True); sys.exit('end')"), {"RANK": "3"}
    )
    assert rest(rank) == (f"{pid} 3\nend\n".encode(), 1)
    assert rank.poll(0) == (b"", 1)


def test_more_output_than_is_kept_waits_for_its_reader() -> None:
    rank = Rank()
    rank.start(python("print('x' * 5_000_000)"), {})
    assert rest(rank) == (b"x" * 5_000_000 + b"\n", 0)


def test_signals_reach_the_program() -> None:
    rank = Rank()
    pid = rank.start(python(LINGER), {})
    until_sync(lambda: rank.poll(1)[0].strip() == str(pid).encode())
    rank.signal(signal.SIGTERM)
    said, status = rest(rank)
    # The end of its line may come by itself.
    assert (said.strip(), status) == (b"", -signal.SIGTERM)
    rank.signal(signal.SIGTERM)
    rank.signal(signal.SIGKILL)


def test_what_a_program_started_ends_with_it() -> None:
    rank = Rank()
    rank.start(python(FORKS), {})
    said, status = rest(rank)
    assert status == 5
    until_sync(lambda: all(gone(int(pid)) for pid in said.split()))


def test_a_program_that_is_not_there_says_so() -> None:
    rank = Rank()
    rank.start(["/nowhere/python"], {})
    said, status = rest(rank)
    assert b"FileNotFoundError" in said
    assert status == 1


def test_what_cannot_be_started_is_an_error() -> None:
    with pytest.raises(OSError, match="Argument list too long"):
        Rank().start(python(LINGER), {"SPEC": "A" * 200_000})


def test_the_program_ends_when_its_holder_is_killed() -> None:
    holds = f"""
import sys
from symbiont.training.executors.ray_rank import Rank
rank = Rank()
rank.start([sys.executable, "-c", {LINGER!r}], {{}})
while True:
    print(rank.poll(10)[0].decode(), end="", flush=True)
"""
    with subprocess.Popen(python(holds), stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        # It has printed and will sleep: nothing but the kernel tells it that its holder is gone.
        pid = int(holder.stdout.readline())
        holder.kill()
    until_sync(lambda: gone(pid))
