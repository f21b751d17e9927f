"""Facts of a bundle are read once, and a bundle that contradicts the registry is refused."""

from dataclasses import replace
from typing import Any

import pytest

from symbiont.common.errors import FailedPrecondition, IntegrityError, NotFound
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.types import BundleInfo


async def test_it_is_read_once(version: Any, info: BundleInfo) -> None:
    read: list[str] = []
    shelf = BundleShelf(lambda digest: (read.append(digest), info)[1], 2)
    assert await shelf.of(version()) is info
    assert await shelf.of(version()) is info
    assert read == [version().bundle_digest]


@pytest.mark.parametrize("changed", [{"base_digest": "e" * 64}, {"tokenizer_digest": "e" * 64}])
async def test_skew_is_refused_each_time(version: Any, info: BundleInfo, changed: dict[str, str]) -> None:
    shelf = BundleShelf(lambda digest: replace(info, **changed), 2)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as caught:
            await shelf.of(version())
        assert caught.value.reason == "SKEW"


async def test_a_bundle_that_is_gone_or_damaged_is_a_matter_of_state(version: Any) -> None:
    def missing(digest: str) -> BundleInfo:
        raise NotFound("not here")

    def damaged(digest: str) -> BundleInfo:
        raise IntegrityError("damaged")

    with pytest.raises(FailedPrecondition, match="models/x/versions/1: its bundle"):
        await BundleShelf(missing, 2).of(version())
    with pytest.raises(IntegrityError):
        await BundleShelf(damaged, 2).of(version())
