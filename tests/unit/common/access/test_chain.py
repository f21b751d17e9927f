"""Whatever is done to the lines of a chain is found, and where."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from symbiont.common.access.chain import Chain, chains, digest_of, files_of, head_of, lines_of, problems_of
from symbiont.common.errors import IntegrityError

Change = Callable[[list[str]], list[str]]


def written(root: Path, count: int = 6, file_bytes: int = 500) -> Path:
    """Writes a chain of several files; returns its folder."""
    chain = Chain(root, "training", file_bytes)
    for number in range(count):
        chain.add({"method": f"/a/{number}", "outcome": "OK"})
    chain.close()
    return chain.folder


def changed(line: str, **values: object) -> str:
    return json.dumps({**json.loads(line), **values}, sort_keys=True, separators=(",", ":"))


def forged(line: str) -> str:
    """Returns a line with another outcome, and the digest that it then has."""
    values = {**json.loads(line), "outcome": "FORGED"}
    return changed(line, outcome="FORGED", digest=digest_of(values))


def test_what_is_written_is_whole(tmp_path: Path) -> None:
    folder = written(tmp_path)
    assert len(files_of(folder)) > 1
    assert list(problems_of(folder)) == []
    assert [line["method"] for line in lines_of(folder)] == [f"/a/{n}" for n in range(6)]
    assert head_of(folder) == list(lines_of(folder))[-1]["digest"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: [x[0], changed(x[1], outcome="FORGED"), *x[2:]], "this line, number 2, was changed"),
        (lambda x: [x[0], forged(x[1]), *x[2:]], "line 3 does not follow the one before it"),
        (lambda x: [x[0], "{}", *x[2:]], "this line, number 2, was changed"),
        (lambda x: [x[0], x[1][:-1], *x[2:]], "this line, number 2, was changed"),
        (lambda x: [x[0], *x[2:]], "line 2 was removed before line 3"),
        (lambda x: x[1:], "line 1 was removed before line 2"),
        (lambda x: [x[0], *x[4:]], "lines 2 to 4 were removed before line 5"),
        (lambda x: [x[0], x[2], x[1], *x[3:]], "line 2 was removed before line 3"),
        (lambda x: [*x[:3], x[1], *x[3:]], "line 2 stands where line 4 should"),
        (lambda x: x[:-1], "line 6 was removed from the end"),
        (lambda x: x[:-2], "lines 5 to 6 were removed from the end"),
        (lambda x: [], "lines 1 to 6 were removed from the end"),
        (lambda x: [*x[:-1], forged(x[-1])], "line 6 is the last, with another digest"),
    ],
)
def test_every_change_is_found(tmp_path: Path, change: Change, found: str) -> None:
    folder = written(tmp_path, file_bytes=1 << 20)
    (file,) = files_of(folder)
    file.write_text("".join(f"{line}\n" for line in change(file.read_text().splitlines())))
    assert found in "; ".join(problems_of(folder))


def test_a_chain_that_was_never_added_to_is_whole(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "inference")
    chain.close()
    assert list(problems_of(chain.folder)) == []
    assert head_of(chain.folder) == "0" * 64


def test_a_line_of_which_a_part_was_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a volume that becomes full: what follows once there is room again is a chain."""
    chain, write = Chain(tmp_path, "training"), os.write
    chain.add({"method": "/a"})
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, text: write(file, text[:20]))
        with pytest.raises(OSError, match="No space left"):
            chain.add({"method": "/b"})
    chain.add({"method": "/c"})
    chain.close()
    assert [line["method"] for line in lines_of(chain.folder)] == ["/a", "/c"]
    assert list(problems_of(chain.folder)) == []
    Chain(tmp_path, "training").close()


def test_a_line_says_where_it_is(tmp_path: Path) -> None:
    folder = written(tmp_path)
    second = files_of(folder)[1]
    lines = second.read_text().splitlines()
    second.write_text("".join(f"{line}\n" for line in [changed(lines[0], outcome="FORGED"), *lines[1:]]))
    assert next(iter(problems_of(folder))).startswith("000002.jsonl:1: ")


def test_a_file_that_is_gone_or_a_head_that_is_another_is_found(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "head").write_text("nonsense")
    assert list(problems_of(folder)) == ["the file head was changed"]
    (folder / "head").unlink()
    assert list(problems_of(folder)) == ["the file head is missing"]
    folder = written(tmp_path / "other")
    files_of(folder)[0].unlink()
    assert "removed before line" in next(iter(problems_of(folder)))


def test_the_next_process_goes_on_and_a_process_beside_it_has_its_own(tmp_path: Path) -> None:
    first = Chain(tmp_path, "training")
    beside = Chain(tmp_path, "training")
    for chain in (first, beside):
        chain.add({"by": chain.folder.name})
        chain.close()
    again = Chain(tmp_path, "training")
    again.add({"by": "again"})
    again.close()
    assert [folder.name for folder in chains(tmp_path)] == ["training-1", "training-2"]
    assert [line["by"] for line in lines_of(first.folder)] == ["training-1", "again"]
    assert [list(problems_of(folder)) for folder in chains(tmp_path)] == [[], []]


def test_a_killed_process_loses_no_line(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from symbiont.common.access.chain import Chain\n"
        "chain = Chain(Path(sys.argv[1]), 'training')\n"
        "for n in range(50): chain.add({'n': n})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (folder,) = chains(tmp_path)
    assert [line["n"] for line in lines_of(folder)] == list(range(50))
    # As if it had been killed between a line and the head, and within the next line.
    with files_of(folder)[-1].open("a") as stream:
        stream.write('{"number": 51, "half')
    chain = Chain(tmp_path, "training")
    chain.add({"n": 50})
    chain.close()
    assert list(problems_of(folder)) == []
    assert [line["n"] for line in lines_of(folder)] == list(range(51))


def test_nothing_is_added_to_a_chain_whose_end_was_cut(tmp_path: Path) -> None:
    folder = written(tmp_path, file_bytes=1 << 20)
    (file,) = files_of(folder)
    os.truncate(file, len("".join(file.read_text().splitlines(keepends=True)[:-2]).encode()))
    with pytest.raises(IntegrityError, match="lines 5 to 6 were removed from the end"):
        Chain(tmp_path, "training")
