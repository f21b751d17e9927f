"""Ids in any pieces become the tokenizer's own text, of whole characters only."""

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from support.tokenizers import definition
from symbiont.inference.generation.detokenizing import Detokenizer

FAMILIES = ("byte_bpe", "fallback_bpe", "unigram")
TEXTS = [
    "Where is my order? It was sent three days ago!",
    "请帮我取消订单，谢谢。👩‍👩‍👧 naïve Ελληνικά",
    "a  b\n\n  c\t😀😀 x",
    "İstanbul'da ﬁne ①",
]


@cache
def tokenizer(family: str) -> Tokenizer:
    return Tokenizer.from_str(definition(family).decode())


async def run(family: str, ids: Sequence[int], sizes: Sequence[int], context: Sequence[int] = ()) -> list[str]:
    """Returns the pieces of text."""
    made = tokenizer(family)

    async def decode(rows: Sequence[Sequence[int]]) -> list[str]:
        return made.decode_batch([list(row) for row in rows])

    detokenizer, pieces, left = Detokenizer(decode, context), [], list(ids)
    for size in [*sizes, len(left)]:
        part, left = left[:size], left[size:]
        pieces.append(await detokenizer.add(part, last=not left))
    return pieces


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("family", FAMILIES)
async def test_one_token_at_a_time(family: str, text: str) -> None:
    ids = tokenizer(family).encode(text, add_special_tokens=False).ids
    pieces = await run(family, ids, [1] * len(ids))
    assert "".join(pieces) == tokenizer(family).decode(ids)
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
async def test_any_pieces_of_any_text(family: str, data: st.DataObject) -> None:
    text = data.draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12))
    ids = tokenizer(family).encode(text, add_special_tokens=False).ids
    sizes = data.draw(st.lists(st.integers(0, 5), max_size=len(ids)))
    assert "".join(await run(family, ids, sizes)) == tokenizer(family).decode(ids)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
async def test_any_bytes_whatever(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(5, 260), max_size=20))
    sizes = data.draw(st.lists(st.integers(0, 3), max_size=20))
    assert "".join(await run("byte_bpe", ids, sizes)) == tokenizer("byte_bpe").decode(ids)


async def test_what_follows_bytes_that_are_no_text_is_not_lost() -> None:
    made = tokenizer("fallback_bpe")
    ids = [made.token_to_id(f"<0x{byte:02X}>") for byte in (0xC3, 0xA9, 0xE4)]
    ids += made.encode("and so on", add_special_tokens=False).ids
    assert "".join(await run("fallback_bpe", ids, [1] * len(ids))).endswith("and so on")


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_text_goes_on_from_its_context(family: str) -> None:
    whole = tokenizer(family).encode("Please cancel the invoice number 4711", add_special_tokens=False).ids
    pieces = await run(family, whole[5:], [1] * len(whole), context=whole[:5])
    assert tokenizer(family).decode(whole[:5]) + "".join(pieces) == tokenizer(family).decode(whole)


async def test_bytes_that_are_no_text_come_at_the_end() -> None:
    made = tokenizer("fallback_bpe")
    ids = [*made.encode("a", add_special_tokens=False).ids[-1:], *map(made.token_to_id, ("<0xE4>", "<0xBD>"))]
    pieces = await run("fallback_bpe", ids, [1, 1])
    assert pieces[:2] == ["a", ""]
    assert set(pieces[2]) == {"\N{REPLACEMENT CHARACTER}"}
