"""The Open Inference Protocol without gRPC: raw contents, masks, streams, names."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.bundle import ClassificationHead
from symbiont.common.errors import InvalidArgument, Unavailable
from symbiont.inference.oip import tensors
from symbiont.inference.oip.reading import TokenRows, read_batch
from symbiont.inference.oip.statistics import Statistics
from symbiont.inference.oip.streaming import answered_in_order
from symbiont.inference.oip.tensors import Tensor
from symbiont.inference.reference import ModelReference, open_name, parse_open_name
from symbiont.inference.tokens import Ids
from symbiont.inference.types import BundleInfo, ModelVersion


@given(st.lists(st.binary(max_size=9), min_size=1))
def test_bytes_survive_raw_contents(elements: list[bytes]) -> None:
    raw = tensors.to_raw(tensors.of_bytes("TEXT", elements, [len(elements)]))
    assert tensors.from_raw("TEXT", "BYTES", [len(elements)], raw).values.tolist() == elements


def test_zero_bytes_at_the_end_are_kept() -> None:
    assert tensors.of_bytes("TEXT", [b"a\0", b"bcd"], [2]).values.tolist() == [b"a\0", b"bcd"]


@given(st.binary(max_size=40), st.integers(1, 4))
def test_any_raw_contents_are_read_whole_or_refused(data: bytes, count: int) -> None:
    for datatype in ("BYTES", "BOOL", "INT32", "INT64", "FP32", "FP64"):
        with suppress(InvalidArgument):
            assert tensors.to_raw(tensors.from_raw("X", datatype, [count, 1], data)) == data


def read_rows(given_tensors: list[Tensor], info: BundleInfo) -> Sequence[Ids]:
    batch = read_batch(given_tensors, info, 10)
    assert isinstance(batch, TokenRows)
    return batch.rows


@given(st.lists(st.lists(st.sampled_from([0, 1]), min_size=6, max_size=6), min_size=1, max_size=4))
def test_a_mask_leaves_the_tokens_of_its_ones(mask: list[list[int]]) -> None:
    info = BundleInfo(ClassificationHead(pooling="mean", hidden_size=4, num_labels=1), ("a",), 1.0, "", "", 64)
    ids = np.arange(6 * len(mask)).reshape(-1, 6)
    given_tensors = [Tensor("INPUT_IDS", "INT64", ids), Tensor("ATTENTION_MASK", "INT64", np.array(mask))]
    if all("1" in row and "0" not in row.strip("0") for row in ("".join(map(str, line)) for line in mask)):
        kept = [[int(i) for i, one in zip(row, ones, strict=True) if one] for row, ones in zip(ids, mask, strict=True)]
        assert [row.tolist() for row in read_rows(given_tensors, info)] == kept
    else:
        with pytest.raises(InvalidArgument, match="ATTENTION_MASK"):
            read_batch(given_tensors, info, 10)


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_a_stream_is_bounded_and_in_order() -> None:
    running, most = 0, 0

    async def answer(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002 * (number % 3))
        running -= 1
        return number

    found = [n async for n in answered_in_order(numbers(50), answer, 4, asyncio.Event())]
    assert found == list(range(50))
    assert 2 <= most <= 4


async def test_a_stream_that_is_stopped_answers_what_it_read_and_says_so() -> None:
    stopping = asyncio.Event()

    async def requests() -> AsyncIterator[int]:
        yield 1
        stopping.set()
        await asyncio.sleep(60)

    async def answer(number: int) -> int:
        await asyncio.sleep(0.05)
        return number

    stream = answered_in_order(requests(), answer, 4, stopping)
    assert await anext(stream) == 1
    with pytest.raises(Unavailable):
        await anext(stream)


async def test_a_stream_that_ends_by_itself_while_the_process_stops_ends_well() -> None:
    stopping = asyncio.Event()
    stopping.set()

    async def answer(number: int) -> int:
        return number

    async with asyncio.timeout(60):
        assert [n async for n in answered_in_order(numbers(3), answer, 4, stopping)] == [0, 1, 2]


async def test_a_broken_stream_leaves_nothing_running() -> None:
    ended = []

    async def requests() -> AsyncIterator[int]:
        yield 1
        raise ConnectionError("gone")

    async def answer(number: int) -> int:
        try:
            await asyncio.sleep(0.01 if number else 60)
        finally:
            ended.append(number)
        return number

    with pytest.raises(ConnectionError):
        _ = [n async for n in answered_in_order(requests(), answer, 4, asyncio.Event())]
    assert ended == [1]
    stream = answered_in_order(numbers(1), answer, 4, asyncio.Event())
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == [1, 0]


@pytest.mark.parametrize(
    ("pair", "reference"),
    [
        (("mood", ""), ModelReference("mood")),
        (("mood@beta", ""), ModelReference("mood", "beta")),
        (("mood", "12"), ModelReference("mood", version=12)),
        ((f"bundles/{'a' * 64}", ""), ModelReference("", bundle_digest="a" * 64)),
    ],
)
def test_names(pair: tuple[str, str], reference: ModelReference) -> None:
    assert parse_open_name(*pair) == reference
    if not (reference.version or reference.bundle_digest):
        assert parse_open_name(open_name(reference.model, reference.alias), "") == reference


@pytest.mark.parametrize(
    "pair",
    [("", ""), ("Mood", ""), ("mood@", ""), ("a/b", ""), ("mood", "0"), ("mood", "٣"), (f"bundles/{'a' * 64}", "1")],
)
def test_names_that_are_none(pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        parse_open_name(*pair)


def test_statistics_forget_what_was_unused_for_longest() -> None:
    statistics = Statistics(2)
    for model in ("a", "b", "a", "c"):
        statistics.answered(ModelVersion(model, 1, "", "", ""), 2, 1.0, {"infer": 0.5})
    assert [(record.model, record.rows) for record in statistics.all()] == [("a", 4), ("c", 2)]
    assert statistics.all()[0].sums["compute_infer"].ns == 1_000_000_000
