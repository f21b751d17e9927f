"""Quantising for a caller: what is refused before any work, one at a time, and nothing that outlives its caller."""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from symbiont.training.quantization.quantization import Quantization
from symbiont.training.store import Store
from symbiont.training.types import QuantizationStage

TEXTS = ["the bank was pleased"] * 100


async def tokenize(digest: str, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    return [[2, 10 + number % 50, 3] for number in range(len(texts))]


@pytest.fixture
def quantization(registry: Store, artifacts: ArtifactStore, tmp_path: Path) -> Quantization:
    return Quantization(registry, artifacts, tokenize, tmp_path / "logs", threads=1)


def _children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        # Another test's may have ended, and nobody has looked after it.
        with suppress(psutil.NoSuchProcess):
            found += [child] if "symbiont.training.quantization" in child.cmdline() else []
    return found


async def test_what_cannot_be_quantised_is_refused_by_name(quantization: Quantization, registry: Store) -> None:
    registry.add_base(replace(registry.base("tiny"), id="talker", kind="causal", digest="c" * 64))
    for identifier, texts, field in (
        ("talker", TEXTS, "name"),
        ("tiny", TEXTS[1:], "texts"),
        ("tiny", TEXTS * 21, "texts"),
        ("tiny", [*TEXTS, "\n"], "texts[100]"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await anext(quantization.run(identifier, texts))
        assert caught.value.field == field
    with pytest.raises(NotFound):
        await anext(quantization.run("nobody", TEXTS))
    assert _children() == []


async def test_one_at_a_time_and_none_without_its_caller(quantization: Quantization, registry: Store) -> None:
    first = quantization.run("tiny", TEXTS)
    assert [await anext(first), await anext(first)] == [QuantizationStage.TOKENIZING, QuantizationStage.LOADING]
    with pytest.raises(ResourceExhausted) as caught:
        await anext(quantization.run("tiny", TEXTS))
    assert caught.value.retry_after_s
    (child,) = _children()
    await first.aclose()
    assert not child.is_running()
    assert registry.base("tiny").quantized_digest == ""
    # The next one may.
    after = quantization.run("tiny", TEXTS)
    assert await anext(after) is QuantizationStage.TOKENIZING
    await after.aclose()


async def test_a_base_that_is_not_whole_is_said_to_be_so(quantization: Quantization, artifacts: ArtifactStore) -> None:
    (base,) = artifacts.list("bases")
    shutil.rmtree(artifacts.root / "bases" / base)
    with pytest.raises(FailedPrecondition, match=rf"tiny cannot be quantised: bases/{base}"):
        async for _ in quantization.run("tiny", TEXTS):
            pass


async def test_a_process_that_dies_leaves_nothing_behind(quantization: Quantization, registry: Store) -> None:
    stages = quantization.run("tiny", TEXTS)
    assert [await anext(stages), await anext(stages)] == [QuantizationStage.TOKENIZING, QuantizationStage.LOADING]
    (child,) = _children()
    child.kill()
    with pytest.raises(FailedPrecondition, match=r"ended without a result; its log: .*tiny\.log"):
        async for _ in stages:
            pass
    assert registry.base("tiny").quantized_digest == ""


async def test_without_tokenization_nothing_is_begun(registry: Store, artifacts: ArtifactStore, tmp_path: Path) -> None:
    async def away(digest: str, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        await asyncio.sleep(0)
        raise Unavailable("the tokenization service cannot be reached")

    run = Quantization(registry, artifacts, away, tmp_path).run("tiny", TEXTS)
    assert await anext(run) is QuantizationStage.TOKENIZING
    with pytest.raises(Unavailable):
        await anext(run)
    assert _children() == []
