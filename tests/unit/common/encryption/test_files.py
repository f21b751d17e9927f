import io
import random
from typing import cast

import pytest

from symbiont.common.encryption.ciphers import TAG_BYTES, new_key
from symbiont.common.encryption.files import CHUNK_BYTES, SealedReader, SealedWriter, read_header
from symbiont.common.errors import IntegrityError

KEY = new_key()
SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES


def sealed(content: bytes, place: str = "here") -> bytes:
    out = io.BytesIO()
    writer = SealedWriter(out, "acme", 3, KEY, place)
    writer.write(content)
    writer.finish()
    return out.getvalue()


def opened(raw: bytes, place: str = "here") -> SealedReader:
    return SealedReader(io.BytesIO(raw), lambda tenant, version: KEY, place, "file x")


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_001])
def test_what_was_written_is_read(size: int) -> None:
    content = content_of(size)
    reader = opened(sealed(content))
    assert (reader.size, io.BufferedReader(reader).read()) == (size, content)


def test_it_is_read_from_any_place() -> None:
    content = content_of(300_000)
    reader = io.BufferedReader(opened(sealed(content)))
    for start in (299_999, 0, CHUNK_BYTES - 3, CHUNK_BYTES, 131_072, 17):
        reader.seek(start)
        assert reader.read(100) == content[start : start + 100]
    assert reader.seek(-5, io.SEEK_END) == 299_995
    assert reader.read() == content[-5:]


def test_pieces_of_any_size_make_the_same_content() -> None:
    content, out = content_of(250_000), io.BytesIO()
    writer = SealedWriter(out, "", 1, KEY, "here")
    for start in range(0, len(content), 777):
        writer.write(content[start : start + 777])
    writer.finish()
    assert io.BufferedReader(opened(out.getvalue())).read() == content


def test_nothing_of_the_content_shows_and_no_two_files_are_equal() -> None:
    content = b"a customer's text " * 9000
    first, second = sealed(content), sealed(content)
    assert b"customer" not in first
    assert first[-1000:] != second[-1000:]


def test_any_changed_byte_is_found() -> None:
    raw = sealed(content_of(2_000))
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 8)
        if changed[: len(b"SYMBSEAL")] == raw[: len(b"SYMBSEAL")] or place < len(b"SYMBSEAL"):
            with pytest.raises(IntegrityError, match="file x"):
                opened(bytes(changed)).read()


def chunks_of(raw: bytes) -> tuple[bytes, list[bytes]]:
    stream = io.BytesIO(raw)
    read_header(stream, "x")
    head = stream.tell()
    body = raw[head:]
    return raw[:head], [body[start : start + SEALED_CHUNK] for start in range(0, len(body), SEALED_CHUNK)]


@pytest.mark.parametrize(
    "order", [[0, 1], [0, 1, 2], [1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 2, 3, 3], [0, 0, 1, 2, 3], [1, 2, 3], [3], []]
)
def test_chunks_that_are_cut_off_exchanged_or_repeated_are_found(order: list[int]) -> None:
    head, chunks = chunks_of(sealed(content_of(4 * CHUNK_BYTES - 5)))
    with pytest.raises(IntegrityError, match="file x"):
        io.BufferedReader(opened(head + b"".join(chunks[number] for number in order))).read()


@pytest.mark.parametrize("cut", [1, 5, TAG_BYTES, CHUNK_BYTES, SEALED_CHUNK])
def test_a_file_that_is_cut_short_is_found_when_it_is_opened(cut: int) -> None:
    with pytest.raises(IntegrityError, match="file x"):
        opened(sealed(content_of(2 * CHUNK_BYTES))[:-cut])


def test_a_file_in_the_place_of_another_is_found() -> None:
    with pytest.raises(IntegrityError, match="file x"):
        opened(sealed(b"a", "bundles/head/1"), "bundles/adapter/1")


def test_chunks_of_another_file_are_found() -> None:
    head, _ = chunks_of(sealed(b"one"))
    _, others = chunks_of(sealed(b"two"))
    with pytest.raises(IntegrityError):
        opened(head + others[0])


def test_a_header_that_never_ends_is_no_header() -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        read_header(cast("io.BytesIO", io.BytesIO(b"SYMBSEAL" + b"\xff" * 4 + b"{}")), "x")
