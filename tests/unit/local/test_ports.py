"""Ports are free, different, and the wanted ones when they can be."""

import socket
import subprocess
import sys

from symbiont.local import ports


def test_wanted_when_free_else_another() -> None:
    with socket.create_server((ports.HOST, 0)) as busy:
        taken = busy.getsockname()[1]
        assert not ports.is_free(taken)
        with ports.reserved({"a": [taken], "b": [taken], "c": []}) as chosen:
            assert taken not in chosen.values()
            assert len(set(chosen.values())) == 3
        with ports.reserved({"x": [taken, chosen["a"]], "y": [chosen["a"], chosen["b"]]}) as again:
            assert again == {"x": chosen["a"], "y": chosen["b"]}
    assert ports.is_free(taken)


def test_a_reserved_port_is_given_once_before_anyone_listens_there() -> None:
    with ports.reserved({"a": []}) as mine:
        assert ports.is_free(mine["a"])
        with ports.reserved({"a": [mine["a"]]}) as other:
            assert other["a"] != mine["a"]
    with ports.reserved({"a": [mine["a"]]}) as again:
        assert again == mine


def test_a_reservation_ends_with_the_process() -> None:
    code = """
import os
from symbiont.local import ports
held = ports.reserved({"a": []})
print(held.__enter__()["a"], flush=True)
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    port = int(done.stdout)
    with ports.reserved({"a": [port]}) as chosen:
        assert chosen == {"a": port}
