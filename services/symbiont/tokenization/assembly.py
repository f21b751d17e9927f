"""The arrays that describe rows: ids, and all that can be asked for beside them."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TypeVar

from symbiont.common.offsets import places
from symbiont.tokenization.rows import Layout, Row, Span, check_size, length_of, width_of
from symbiont.tokenization.tokenizer import Content
from symbiont.tokenization.types import Batch, Cut, Encoded, Output

_ids_of: Callable[[Content], list[int]] = attrgetter("ids")
T = TypeVar("T")


def uncut(layout: Layout, texts: Sequence[Content]) -> Encoded | None:
    """Returns the rows of texts that all fit, ids alone; None when one is too long.

    What most calls ask for, without the plan of rows that all others need, which takes a twentieth of the work on
    short texts.
    """
    before, after, size = layout.frame.before, layout.frame.after, layout.frame_size
    lengths = [len(content.ids) + size for content in texts]
    if max(lengths) > layout.max_tokens:
        return None
    check_size(layout, sum(lengths))
    ids: list[int] = []
    for content in texts:
        ids += before
        ids += content.ids
        ids += after
    return Encoded(layout.tokenizer.info.digest, ids, lengths, lengths)


class Assembly:
    """Makes the arrays of rows, for one batch of encoded texts."""

    def __init__(self, layout: Layout, batch: Batch, first: Sequence[Content], second: Sequence[Content]) -> None:
        self._layout = layout
        self._batch = batch
        self._first = first
        self._second = second

    def encoded(self, rows: Sequence[Row], *, indexed: bool) -> Encoded:
        """Returns the rows that were asked for.

        Args:
            indexed: whether to say which text each row is of even if each text gave one.
        """
        frame, wanted = self._layout.frame, self._layout.options.outputs
        encoded = Encoded(self._layout.tokenizer.info.digest)
        width = width_of(self._layout, rows)
        encoded.ids = self._column(rows, width, (frame.before, frame.between, frame.after), _ids_of, self._pad_id())
        encoded.lengths = [width] * len(rows) if width else [length_of(self._layout, row) for row in rows]
        if indexed:
            encoded.text_indices = [row.text for row in rows]
        if wanted:
            self._add(encoded, rows, width)
        return encoded

    def original_lengths(self) -> list[int]:
        """Returns the number of tokens that each text had, special tokens included."""
        size = self._layout.frame.size
        if not self._layout.pairs:
            return [len(content.ids) + size for content in self._first]
        return [len(a.ids) + len(b.ids) + size for a, b in zip(self._first, self._second, strict=True)]

    def cuts(self, rows: Sequence[Row]) -> list[Cut]:
        """Returns what the texts lost. Windows lose nothing."""
        if self._layout.options.stride is not None:
            return []
        found = (
            self._cut(row.text, second, span)
            for row in rows
            for second, span in ((False, row.first), (True, row.second))
        )
        return [cut for cut in found if cut]

    def _cut(self, text: int, second: bool, kept: Span) -> Cut | None:
        if second and not self._layout.pairs:
            return None
        content = (self._second if second else self._first)[text]
        lost = len(content.ids) - (kept[1] - kept[0])
        if not lost:
            return None
        offsets = (content.offsets or [])[:lost] if self._layout.options.left else (content.offsets or [])[-lost:]
        at = places((self._batch.pairs if second else self._batch.texts)[text], self._layout.options.unit)
        return Cut(text, second, lost, at[min(s for s, _ in offsets)], at[max(e for _, e in offsets)])

    def _add(self, encoded: Encoded, rows: Sequence[Row], width: int) -> None:
        frame, wanted = self._layout.frame, self._layout.options.outputs
        sizes = (len(frame.before), len(frame.between), len(frame.after))

        def same(value: T) -> tuple[list[T], list[T], list[T]]:
            before, between, after = ([value] * size for size in sizes)
            return before, between, after

        if Output.ATTENTION_MASK in wanted:
            encoded.attention_mask = self._spread(rows, width, same(1), 1, 1, 0)
        if Output.TYPE_IDS in wanted:
            types = (frame.before_types, frame.between_types, frame.after_types)
            pad = self._layout.tokenizer.pad_type
            encoded.type_ids = self._spread(rows, width, types, frame.first_type, frame.second_type, pad)
        if Output.SPECIAL_TOKENS_MASK in wanted:
            encoded.special_tokens_mask = self._spread(rows, width, same(1), 0, 0, 1)
        if Output.SEQUENCE_IDS in wanted:
            encoded.sequence_ids = self._spread(rows, width, same(-1), 0, 1, -1)
        if Output.WORD_IDS in wanted:
            encoded.word_ids = self._column(rows, width, same(-1), lambda content: content.words or [], -1)
        if Output.TOKENS in wanted:
            special = tuple([self._token(i) for i in ids] for ids in (frame.before, frame.between, frame.after))
            pad_token = self._token(self._pad_id())
            encoded.tokens = self._column(rows, width, special, lambda content: content.tokens or [], pad_token)
        if Output.OFFSETS in wanted:
            self._add_offsets(encoded, rows, width, same(0))

    def _add_offsets(
        self, encoded: Encoded, rows: Sequence[Row], width: int, special: tuple[list[int], list[int], list[int]]
    ) -> None:
        starts: dict[int, list[int]] = {}
        ends: dict[int, list[int]] = {}
        used = {row.text for row in rows}
        for contents, texts in ((self._first, self._batch.texts), (self._second, self._batch.pairs)):
            for text in used if contents else ():
                content, at = contents[text], places(texts[text], self._layout.options.unit)
                starts[id(content)] = [at[start] for start, _ in content.offsets or []]
                ends[id(content)] = [at[end] for _, end in content.offsets or []]
        encoded.starts = self._column(rows, width, special, lambda content: starts[id(content)], 0)
        encoded.ends = self._column(rows, width, special, lambda content: ends[id(content)], 0)

    def _column(
        self, rows: Sequence[Row], width: int, special: Sequence[list[T]], values: Callable[[Content], list[T]], pad: T
    ) -> list[T]:
        """Joins one value per token of all rows: those of the special tokens, and those of the texts."""
        before, between, after = special
        column: list[T] = []
        if not (width or self._layout.pairs):
            for text, (start, stop), _ in rows:
                column += before
                column += values(self._first[text])[start:stop]
                column += after
            return column
        for row in rows:
            begin = len(column)
            column += before
            start, stop = row.first
            column += values(self._first[row.text])[start:stop]
            if self._layout.pairs:
                column += between
                start, stop = row.second
                column += values(self._second[row.text])[start:stop]
            column += after
            if width:
                self._fill(column, begin, width, pad)
        return column

    def _spread(
        self,
        rows: Sequence[Row],
        width: int,
        special: Sequence[list[int]],
        first: int,
        second: int,
        pad: int,
    ) -> list[int]:
        """Joins values that are the same for all tokens of a text."""
        before, between, after = special
        column: list[int] = []
        for row in rows:
            begin = len(column)
            column += before
            column += [first] * (row.first[1] - row.first[0])
            if self._layout.pairs:
                column += between
                column += [second] * (row.second[1] - row.second[0])
            column += after
            if width:
                self._fill(column, begin, width, pad)
        return column

    def _fill(self, column: list[T], begin: int, width: int, pad: T) -> None:
        missing = [pad] * (width - (len(column) - begin))
        padding = self._layout.options.padding
        if padding and padding.left:
            column[begin:begin] = missing
        else:
            column += missing

    def _pad_id(self) -> int:
        return self._layout.tokenizer.info.pad_id or 0

    def _token(self, identifier: int) -> str:
        return self._layout.tokenizer.token_of(identifier) or ""
