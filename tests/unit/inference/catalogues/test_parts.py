"""The small parts: the matrix on the disk, digests in tables, names, and what is held in memory."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from symbiont.common.encryption import Spool
from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument
from symbiont.inference.catalogues.known import KnownTexts
from symbiont.inference.catalogues.matrix import read_matrix, write_matrix
from symbiont.inference.catalogues.shelf import Loaded, Shelf, size_of
from symbiont.inference.catalogues.types import CatalogueVersion, Vectors, parse_catalogue
from symbiont.inference.metrics import CatalogueMetrics

from .conftest import make_version, real_like


def written(path: Path, *blocks: Vectors, rows: int = 10, sealed: bool = False) -> Spool:
    spool = Spool(path, sealed=sealed)
    try:
        write_matrix(spool, blocks, rows, 4)
    finally:
        spool.close()
    return spool


def read(spool: Spool, rows: int = 10, columns: int = 4) -> Vectors:
    with spool.open() as stream:
        return read_matrix(stream, rows, columns)


def test_a_matrix_is_a_file_of_safetensors(tmp_path: Path) -> None:
    vectors, path = real_like(10, 4, 1), tmp_path / "m"
    spool = written(path, vectors[:3], vectors[3:])
    np.testing.assert_array_equal(load_file(path)["vectors"], vectors)
    mapped = read(spool)
    path.unlink()
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, vectors)


def test_an_encrypted_matrix_is_read_into_memory(tmp_path: Path) -> None:
    vectors = real_like(10, 4, 1)
    found = read(written(tmp_path / "m", vectors, sealed=True))
    np.testing.assert_array_equal(found, vectors)
    assert not found.flags.writeable


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"{}", b"\x02" + b"\0" * 7 + b"[]"]
)
def test_what_is_no_matrix_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with (tmp_path / "m").open("rb") as stream, pytest.raises(IntegrityError):
        read_matrix(stream, 10, 4)


def test_a_matrix_of_another_shape_is_refused(tmp_path: Path) -> None:
    spool = written(tmp_path / "m", real_like(10, 4, 1))
    for shape in ((9, 4), (4, 10), (0, 4)):
        with pytest.raises(IntegrityError):
            read(spool, *shape)
    with pytest.raises(ValueError, match="are due"):
        written(tmp_path / "n", real_like(9, 4, 1))


def test_texts_are_found_by_their_digests() -> None:
    digests = np.random.default_rng(0).integers(0, 256, (500, 32), np.uint8)
    known = KnownTexts(digests)
    wanted = digests[[3, 499, 0, 3]].copy()
    # Agrees in all that is sorted by, and is another text.
    wanted[1, 31] ^= 1
    assert known.rows(wanted).tolist() == [3, -1, 0, 3]
    assert KnownTexts(digests[:0]).rows(wanted).tolist() == [-1] * 4


@pytest.mark.parametrize("name", ["", "faq", "models/faq", "catalogues/", "catalogues/A", "catalogues/faq/versions/"])
@pytest.mark.parametrize("end", ["", "/versions/0", "/versions/x", "/versions/٣", "/versions/1/2"])
def test_a_name_that_is_none_is_refused(name: str, end: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_catalogue("name", name + end)
    assert caught.value.field == "name"


def test_names() -> None:
    assert parse_catalogue("name", "catalogues/faq") == ("faq", 0)
    assert parse_catalogue("name", "catalogues/faq/versions/12") == ("faq", 12)


class Reads:
    """Counts what is read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, version: CatalogueVersion) -> Loaded:
        self.read.append(version.digest)
        return Loaded(version, [], np.empty((0, 4), np.float32), None)


@pytest.fixture
def reads() -> Reads:
    return Reads()


def of(name: str, entries: int = 100) -> CatalogueVersion:
    return make_version(name, entries, digest=name)


async def test_the_shelf_keeps_what_fits_and_was_asked_for_last(reads: Reads, prometheus: Any) -> None:
    shelf = Shelf(reads, 2 * size_of(of("a")), CatalogueMetrics(prometheus))
    for name in ("a", "b", "a", "c", "a", "b"):
        assert (await shelf.get(of(name))).version.catalogue == name
    assert reads.read == ["a", "b", "c", "b"]
    held = prometheus.get_sample_value("symbiont_inference_catalogue_loaded_bytes")
    assert held == 2 * size_of(of("a"))
    assert prometheus.get_sample_value("symbiont_inference_catalogue_loaded_entries") == 200


async def test_one_that_can_never_fit_is_refused(reads: Reads, prometheus: Any) -> None:
    shelf = Shelf(reads, size_of(of("a")), CatalogueMetrics(prometheus))
    await shelf.get(of("a"))
    with pytest.raises(FailedPrecondition) as caught:
        await shelf.get(of("b", entries=101))
    assert caught.value.reason == "CATALOGUE_TOO_LARGE"
    await shelf.get(of("a"))
    assert reads.read == ["a"]


async def test_many_that_wait_for_one_cause_one_reading(reads: Reads, prometheus: Any) -> None:
    shelf = Shelf(reads, 1 << 20, CatalogueMetrics(prometheus))
    waiting = [asyncio.create_task(shelf.get(of("a"))) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(loaded, Loaded) for loaded in found[1:])
    assert reads.read == ["a"]
