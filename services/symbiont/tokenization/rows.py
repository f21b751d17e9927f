"""From whole texts to rows that a model takes: what is cut or windowed, and the arrays that describe the rows.

The cuts are those of the `tokenizers` library (its `truncate_encodings` and `Encoding::truncate`), made here so that no
setting of a shared tokenizer changes between two calls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, TypeVar

from symbiont.common.errors import InvalidArgument
from symbiont.tokenization.offsets import places
from symbiont.tokenization.tokenizer import Content, Frame, Tokenizer, check_pairs
from symbiont.tokenization.types import Batch, Cut, Encoded, Options, Output, Padding, Settings, Truncation

MAX_MULTIPLE = 4096
# What one answer may hold: ids, and as many again for each array beside them.
MAX_CELLS = 4 << 20
_DETAIL = frozenset({Output.WORD_IDS, Output.TOKENS, Output.OFFSETS, Output.CUTS})
_POSITIONS = frozenset({Output.WORD_IDS, Output.OFFSETS, Output.CUTS})
_ids_of: Callable[[Content], list[int]] = attrgetter("ids")
T = TypeVar("T")
Span = tuple[int, int]


class Row(NamedTuple):
    """A row: the text it is of, and the parts of the first and the second text in it, as (start, stop) in tokens."""

    text: int
    first: Span
    second: Span = (0, 0)


@dataclass(frozen=True)
class Layout:
    """Settings that have passed their checks, with their defaults filled in, for texts alone or for pairs."""

    tokenizer: Tokenizer
    frame: Frame
    pairs: bool
    max_tokens: int
    options: Options
    frame_size: int

    @property
    def detail(self) -> bool:
        """Whether more is asked for than ids tell."""
        return bool(self.options.outputs & _DETAIL)

    @property
    def room(self) -> int:
        """Number of tokens of text that a row takes."""
        return self.max_tokens - self.frame_size

    def cut(self, lengths: Sequence[int]) -> int:
        """Returns how many texts of these lengths, special tokens included, lose something."""
        return sum(length > self.max_tokens for length in lengths) if self.options.stride is None else 0


def layout(tokenizer: Tokenizer, settings: Settings, *, pairs: bool) -> Layout:
    """Checks settings against a tokenizer; InvalidArgument names the field at fault."""
    options = settings.options
    frame = check_pairs(tokenizer, "pair_texts") if pairs else tokenizer.single
    if options.omit_special_tokens:
        frame = frame.bare()
    maximum = _max_tokens(tokenizer, settings, frame)
    if options.padding:
        _check_padding(tokenizer, options.padding, maximum)
    if options.truncation is Truncation.ONLY_SECOND and not pairs:
        raise InvalidArgument("options.truncation", "ONLY_SECOND without pair_texts", reason="TRUNCATION")
    if options.stride is not None:
        _check_windows(options, maximum - frame.size, pairs=pairs)
    if tokenizer.info.slow and (wanted := options.outputs & _POSITIONS):
        names = ", ".join(sorted(output.name for output in wanted))
        problem = f"{names}: the tokenizer is a slow one, which knows no offsets and no words"
        raise InvalidArgument("options.outputs", problem, reason="SLOW_TOKENIZER")
    return Layout(tokenizer, frame, pairs, maximum, options, frame.size)


def _max_tokens(tokenizer: Tokenizer, settings: Settings, frame: Frame) -> int:
    smallest, largest = frame.size + 1, tokenizer.info.max_tokens
    padding = settings.options.padding
    asked = settings.max_tokens or (padding.length if padding else 0)
    if asked and not smallest <= asked <= largest:
        field = "max_tokens" if settings.max_tokens else "options.padding.length"
        problem = f"{asked} is not between {smallest} (special tokens and one of text) and {largest}"
        raise InvalidArgument(field, problem, reason="MAX_TOKENS")
    return asked or largest


def _check_padding(tokenizer: Tokenizer, padding: Padding, maximum: int) -> None:
    if tokenizer.info.pad_id is None:
        problem = f"tokenizers/{tokenizer.info.digest} has no padding token"
        raise InvalidArgument("options.padding", problem, reason="PADDING")
    if padding.length and padding.length < maximum:
        problem = f"{padding.length} is below max_tokens, {maximum}: rows would be wider than that"
        raise InvalidArgument("options.padding.length", problem, reason="PADDING")
    if not 1 <= padding.multiple_of <= MAX_MULTIPLE:
        problem = f"{padding.multiple_of} is not between 1 and {MAX_MULTIPLE}"
        raise InvalidArgument("options.padding.multiple_of", problem, reason="PADDING")


def _check_windows(options: Options, room: int, *, pairs: bool) -> None:
    if options.truncation is Truncation.REFUSE:
        raise InvalidArgument("options.truncation", "REFUSE and windows exclude each other", reason="TRUNCATION")
    if pairs and options.truncation is Truncation.LONGEST_FIRST:
        problem = "windows of a pair are of one of its texts: say ONLY_FIRST or ONLY_SECOND"
        raise InvalidArgument("options.truncation", problem, reason="TRUNCATION")
    _check_stride(options.stride or 0, room, "")


def _check_stride(stride: int, room: int, where: str) -> None:
    if not 0 <= stride < room:
        problem = f"{stride} is not between 0 and {room - 1}: a window has room for {room} tokens of text{where}"
        raise InvalidArgument("options.windows.stride", problem, reason="STRIDE")


def plan(layout: Layout, first: Sequence[Content], second: Sequence[Content]) -> list[Row]:
    """Says which rows the texts give; InvalidArgument when one may not be cut, or cannot be cut enough."""
    if not layout.pairs:
        return _rows_of_ones(layout, first)
    return [
        row
        for text, (a, b) in enumerate(zip(first, second, strict=True))
        for row in _rows_of_two(layout, text, len(a.ids), len(b.ids))
    ]


def _rows_of_ones(layout: Layout, texts: Sequence[Content]) -> list[Row]:
    room, rows = layout.room, []
    for text, content in enumerate(texts):
        length = len(content.ids)
        if length <= room:
            rows.append(Row(text, (0, length)))
        else:
            _check_may_cut(layout, text, length)
            rows += [Row(text, span) for span in _spans(length, room, layout.options)]
    return rows


def _rows_of_two(layout: Layout, text: int, first: int, second: int) -> Sequence[Row]:
    room, strategy = layout.room, layout.options.truncation
    if first + second <= room:
        return (Row(text, (0, first), (0, second)),)
    _check_may_cut(layout, text, first + second)
    if strategy is Truncation.LONGEST_FIRST:
        kept_first, kept_second = _longest_first(first, second, room)
        options = layout.options
        return (Row(text, _spans(first, kept_first, options)[0], _spans(second, kept_second, options)[0]),)
    cut_first = strategy is Truncation.ONLY_FIRST
    whole = second if cut_first else first
    left = room - whole
    if left < 1:
        other, cut = ("pair_texts", "first") if cut_first else ("texts", "second")
        problem = f"its {whole} tokens leave no room for the {cut} text in {layout.max_tokens} tokens"
        raise InvalidArgument(f"{other}[{text}]", problem, reason="TEXT_TOO_LONG")
    if layout.options.stride:
        _check_stride(layout.options.stride, left, f" beside {'pair_texts' if cut_first else 'texts'}[{text}]")
    spans = _spans(first if cut_first else second, left, layout.options)
    if cut_first:
        return [Row(text, span, (0, second)) for span in spans]
    return [Row(text, (0, first), span) for span in spans]


def _check_may_cut(layout: Layout, text: int, length: int) -> None:
    if layout.options.truncation is Truncation.REFUSE:
        total = length + layout.frame.size
        problem = f"it has {total} tokens, at most {layout.max_tokens} are allowed and truncation is REFUSE"
        raise InvalidArgument(f"texts[{text}]", problem, reason="TEXT_TOO_LONG")


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Returns how much of each text stays when the longer one is cut until both fit."""
    shorter = min(first, second)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room // 2 + room % 2
    return (longer, shorter) if first > second else (shorter, longer)


def _spans(length: int, room: int, options: Options) -> list[Span]:
    """Returns the windows of a text, or its first one alone when it is to be cut."""
    if room >= length:
        return [(0, length)]
    if room == 0:
        return [(0, 0)]
    if options.stride is None:
        return [(length - room, length) if options.left else (0, room)]
    spans: list[Span] = []
    for done in range(0, length, room - options.stride):
        if options.left:
            spans.append((max(0, length - done - room), length - done))
        else:
            spans.append((done, min(done + room, length)))
        if done + room >= length:
            break
    return spans


def parts(layout: Layout, rows: Sequence[Row], cells: int) -> Iterator[Sequence[Row]]:
    """Cuts rows into parts of about so many cells, each of at least one row."""
    part: list[Row] = []
    held = 0
    for row in rows:
        size = _cells(layout, row)
        if part and held + size > cells:
            yield part
            part, held = [], 0
        part.append(row)
        held += size
    if part:
        yield part


def check_size(layout: Layout, rows: Sequence[Row]) -> None:
    """Refuses what would not fit into one answer."""
    size = sum(length_of(layout, row) for row in rows) * (1 + len(layout.options.outputs))
    if layout.options.padding:
        size = max(size, len(rows) * _width(layout, rows) * (1 + len(layout.options.outputs)))
    if size > MAX_CELLS:
        field = "options.padding" if layout.options.padding else "texts"
        problem = (
            f"the answer would hold {size} values, at most {MAX_CELLS} are given:"
            " send fewer texts, ask for fewer outputs, or call TokenizeStream"
        )
        raise InvalidArgument(field, problem, reason="ANSWER_TOO_LARGE")


def _cells(layout: Layout, row: Row) -> int:
    return length_of(layout, row) * (1 + len(layout.options.outputs))


def length_of(layout: Layout, row: Row) -> int:
    """Returns the number of tokens of a row, padding not included."""
    _, (start, stop), (second_start, second_stop) = row
    return stop - start + second_stop - second_start + layout.frame_size


def _width(layout: Layout, rows: Sequence[Row]) -> int:
    """Returns the width that rows are filled up to; 0 without padding."""
    padding = layout.options.padding
    if not padding or not rows:
        return 0
    width = max(padding.length, max(length_of(layout, row) for row in rows))
    return -(-width // padding.multiple_of) * padding.multiple_of


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
        width = _width(self._layout, rows)
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
