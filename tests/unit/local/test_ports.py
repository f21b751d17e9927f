"""Ports are free, different, and the wanted ones when they can be."""

import socket

from symbiont.local import ports


def test_wanted_when_free_else_another() -> None:
    with socket.create_server((ports.HOST, 0)) as busy:
        taken = busy.getsockname()[1]
        assert not ports.is_free(taken)
        chosen = ports.choose({"a": [taken], "b": [taken], "c": []})
        assert taken not in chosen.values()
        assert len(set(chosen.values())) == 3
        again = ports.choose({"x": [taken, chosen["a"]], "y": [chosen["a"], chosen["b"]]})
        assert again == {"x": chosen["a"], "y": chosen["b"]}
    assert ports.is_free(taken)
