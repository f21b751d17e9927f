"""Reads rows out of the file formats that callers upload.

A reader takes a binary stream, yields (row number as a person counts, values by column) and raises InvalidArgument for
what is wrong with the file. To add a format: one function and one line in `READERS`.
"""

import csv
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, BinaryIO

from symbiont.common.errors import InvalidArgument

FILE = "chunk"
MAX_LINE_BYTES = 1 << 22
ROWS_AT_A_TIME, MAX_GROUP_BYTES = 1024, 1 << 30
# The columns that are read, as (field of the header that names it, its name).
Columns = Sequence[tuple[str, str]]
Cells = tuple[int, Mapping[str, Any]]
Reader = Callable[[BinaryIO, Columns], Generator[Cells]]


def read_csv(file: BinaryIO, columns: Columns) -> Generator[Cells]:
    """Reads comma-separated values with a header line (RFC 4180)."""
    return _read_delimited(file, columns, ",")


def read_tsv(file: BinaryIO, columns: Columns) -> Generator[Cells]:
    """Reads tab-separated values with a header line."""
    return _read_delimited(file, columns, "\t")


def read_jsonl(file: BinaryIO, columns: Columns) -> Generator[Cells]:
    """Reads one JSON object a line."""
    with closing(_lines(file)) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as exc:
                raise InvalidArgument(FILE, f"line {number} is not JSON: {exc.msg} at column {exc.colno}") from exc
            except (ValueError, RecursionError) as exc:
                raise InvalidArgument(FILE, f"line {number} has too deep a structure, or too long a number") from exc
            if not isinstance(row, dict):
                raise InvalidArgument(FILE, f"line {number} is not a JSON object")
            _require_columns(list(row), columns, f"line {number}")
            yield number, row


def read_parquet(file: BinaryIO, columns: Columns) -> Generator[Cells]:
    """Reads Apache Parquet, a batch of rows at a time."""
    # A quarter of a second that only those spend who send Parquet.
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    names = [name for _, name in columns]
    try:
        with pq.ParquetFile(file) as parquet:
            _require_columns(parquet.schema_arrow.names, columns, "the file")
            _check_unpacked(parquet.metadata)
            texts = [name for name in names if pa.types.is_string(parquet.schema_arrow.field(name).type)]
        # As dictionaries, where the file has them: a value that is repeated for a million rows stays one.
        with pq.ParquetFile(file, read_dictionary=texts) as parquet:
            number = 0
            for batch in parquet.iter_batches(batch_size=ROWS_AT_A_TIME, columns=names):
                for place in range(batch.num_rows):
                    number += 1
                    yield number, {name: batch.column(name)[place].as_py() for name in names}
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as exc:
        raise InvalidArgument(FILE, f"the file is not readable Parquet, it may be cut short: {_line(exc)}") from exc


def _check_unpacked(metadata: Any) -> None:
    """Refuses what grows out of all proportion when it is unpacked, by what the file says of its parts."""
    for number in range(metadata.num_row_groups):
        size = metadata.row_group(number).total_byte_size
        if not 0 <= size <= MAX_GROUP_BYTES:
            problem = f"row group {number} has {size} bytes when it is unpacked, at most {MAX_GROUP_BYTES} are read"
            raise InvalidArgument(FILE, f"{problem}; write smaller ones")


def _line(error: Exception) -> str:
    # What pyarrow says of damaged bytes may repeat some of them.
    return str(error).partition("\n")[0][:200]


READERS: dict[str, Reader] = {"CSV": read_csv, "TSV": read_tsv, "JSONL": read_jsonl, "PARQUET": read_parquet}


def _read_delimited(file: BinaryIO, columns: Columns, delimiter: str) -> Generator[Cells]:
    # csv's own limit for a field is 128 KiB, less than a text may have.
    csv.field_size_limit(MAX_LINE_BYTES)
    # Closed here: what a bad row raises keeps it, and its file, until it is collected.
    with closing(_lines(file)) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            if header:
                _require_columns(header, columns, "the header line")
            for number, row in enumerate(reader, start=1):
                if not row:
                    continue
                if len(row) != len(header):
                    raise InvalidArgument(FILE, f"row {number} has {len(row)} fields, the header has {len(header)}")
                yield number, dict(zip(header, row, strict=True))
        except csv.Error as exc:
            raise InvalidArgument(FILE, f"line {reader.line_num} cannot be read: {exc}") from exc


def _lines(file: BinaryIO) -> Generator[str]:
    # Bounded: a file without line ends must not come into memory whole.
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE_BYTES + 1), b""), start=1):
        if len(line) > MAX_LINE_BYTES:
            raise InvalidArgument(FILE, f"line {number} is over {MAX_LINE_BYTES} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as exc:
            raise InvalidArgument(
                FILE, f"line {number} is not UTF-8: byte 0x{line[exc.start]:02x} at position {exc.start + 1}"
            ) from exc


def _require_columns(present: list[str], columns: Columns, where: str) -> None:
    for field, column in columns:
        if column not in present:
            # Only what looks like a name is repeated: without a header line a customer's text stands here.
            names = [repr(c) for c in present if re.fullmatch(r"\w{1,40}", c)][:20]
            listed = f": {', '.join(names)}" if names else ""
            problem = f"{where} has no column {column!r}; it has {len(present)} columns{listed}"
            raise InvalidArgument(f"header.dataset.{field}", problem)
