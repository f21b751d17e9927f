"""From whole texts to rows that a model takes: what is cut, windowed and padded. The rows' arrays: `assembly`.

The cuts are those of the `tokenizers` library (its `truncate_encodings` and `Encoding::truncate`), made here so that no
setting of a shared tokenizer changes between two calls.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from symbiont.common.errors import InvalidArgument
from symbiont.tokenization.tokenizer import Content, Frame, Tokenizer, check_pairs
from symbiont.tokenization.types import Options, Output, Padding, Settings, Truncation

MAX_MULTIPLE = 4096
# What one answer may hold: ids, and as many again for each array beside them.
MAX_CELLS = 4 << 20
_DETAIL = frozenset({Output.WORD_IDS, Output.TOKENS, Output.OFFSETS, Output.CUTS})
_POSITIONS = frozenset({Output.WORD_IDS, Output.OFFSETS, Output.CUTS})
Span = tuple[int, int]


class Row(NamedTuple):
    """A row: the text it is of, and the parts of the first and the second text in it, as (start, stop) in tokens."""

    text: int
    first: Span
    second: Span = (0, 0)


class Layout(NamedTuple):
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
    def ids_alone(self) -> bool:
        """Whether rows are of one text each, not filled up, and nothing is asked for beside their ids."""
        return not (self.pairs or self.options.padding or self.options.outputs)

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
    """Cuts rows into parts of about so many cells, padding included, each of at least one row.

    Raises:
        InvalidArgument: padding makes a row alone too large.
    """
    columns = 1 + len(layout.options.outputs)
    part: list[Row] = []
    held = width = 0
    for row in rows:
        length, own_width = length_of(layout, row), width_of(layout, [row])
        check_size(layout, own_width * columns, "ask for fewer outputs or less padding")
        width = max(width, own_width)
        size = (len(part) + 1) * width if width else held + length
        if part and size * columns > cells:
            yield part
            part, width = [], own_width
            size = own_width or length
        part.append(row)
        held = size
    if part:
        yield part


def check_rows(layout: Layout, rows: Sequence[Row]) -> None:
    """Refuses rows that would not fit into one answer."""
    size = sum(length_of(layout, row) for row in rows) * (1 + len(layout.options.outputs))
    if layout.options.padding:
        size = max(size, len(rows) * width_of(layout, rows) * (1 + len(layout.options.outputs)))
    check_size(layout, size)


def check_size(
    layout: Layout, size: int, remedy: str = "send fewer texts, ask for fewer outputs, or call TokenizeStream"
) -> None:
    """Refuses so many values in one answer when they are too many."""
    if size > MAX_CELLS:
        field = "options.padding" if layout.options.padding else "texts"
        problem = f"the answer would hold {size} values, at most {MAX_CELLS} are given: {remedy}"
        raise InvalidArgument(field, problem, reason="ANSWER_TOO_LARGE")


def length_of(layout: Layout, row: Row) -> int:
    """Returns the number of tokens of a row, padding not included."""
    _, (start, stop), (second_start, second_stop) = row
    return stop - start + second_stop - second_start + layout.frame_size


def width_of(layout: Layout, rows: Sequence[Row]) -> int:
    """Returns the width that rows are filled up to; 0 without padding."""
    padding = layout.options.padding
    if not padding or not rows:
        return 0
    width = max(padding.length, max(length_of(layout, row) for row in rows))
    return -(-width // padding.multiple_of) * padding.multiple_of
