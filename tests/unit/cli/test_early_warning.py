"""Lines of a stream that are there already, and those that are not."""

import io
import os

from symbiont.cli.early_warning import _has_more, told


def test_a_line_that_has_not_come_is_not_waited_for() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="utf-8") as stream, os.fdopen(writer, "w", encoding="utf-8") as source:
        assert not _has_more(stream)
        print('{"topic": "bank", "text": "下跌"}', file=source, flush=True)
        assert _has_more(stream)
        rows = told(stream)
        assert next(rows) == ("bank", "下跌")
        assert not _has_more(stream)


def test_what_is_in_memory_is_there() -> None:
    assert _has_more(io.StringIO())
