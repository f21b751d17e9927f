"""A root is a folder or a place in an object store, and stays what it is however it is handed on."""

from pathlib import Path

import pytest

from symbiont.common.artifacts import absolute_root, is_url, parse_root


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket//a/b/", "s3://bucket/a/b"),
        ("s3://the.bucket-1/team=a/x_1", "s3://the.bucket-1/team=a/x_1"),
        # As argparse and the like make of it.
        (Path("s3://bucket/prefix"), "s3://bucket/prefix"),
        ("memory://place/a", "memory://place/a"),
        ("/folder", Path("/folder")),
        ("folder/a:b", Path("folder/a:b")),
        (Path("folder"), Path("folder")),
    ],
)
def test_a_root(given: Path | str, root: Path | str) -> None:
    assert parse_root(given) == root
    assert parse_root(str(parse_root(given))) == root
    assert is_url(given) is isinstance(root, str)


@pytest.mark.parametrize(
    "given",
    [
        "gs://bucket",
        "http://host/bucket",
        "s3://",
        "s3:///",
        "s3://b/../c",
        "s3://b/a?x",
        "s3://key:secret@host/b",
        "s3://b/a*",
    ],
)
def test_what_is_no_root(given: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        parse_root(given)


def test_a_root_that_is_handed_on_means_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_root(Path("a")) == tmp_path / "a"
    assert absolute_root("a") == tmp_path / "a"
    assert absolute_root("s3://bucket/a") == "s3://bucket/a"
