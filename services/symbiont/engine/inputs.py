"""Lays the rows of a batch side by side, as arrays that every encoder takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.engine.row import Ids

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class InputForm:
    """How an encoder wants its inputs."""

    # Id that fills up short rows.
    padding: int
    # Whether it tells the two texts of a pair apart.
    has_types: bool
    # As RoBERTa does: positions start behind the id of padding, and tokens of that id have none of their own.
    positions_skip_padding: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """Arrays [rows, tokens]; `mask` is false where a row has ended."""

    ids: Int64s
    mask: Bools
    # All 0 where no row is a pair.
    types: Int64s
    positions: Int64s


def lay_out(form: InputForm, rows: Sequence[Ids], segment_starts: Sequence[int], shifts: Sequence[int]) -> Inputs:
    """Returns the inputs; a row's positions begin `shifts` later, and what fills it up has position 0."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    columns = np.arange(lengths.max())[None, :]
    mask = columns < lengths[:, None]
    ids = np.full(mask.shape, form.padding, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    shift = np.asarray(shifts, np.int64)[:, None]
    return Inputs(ids, mask, _types(form, segment_starts, mask, columns), _positions(form, ids, mask, columns, shift))


def _types(form: InputForm, segment_starts: Sequence[int], mask: Bools, columns: Any) -> Int64s:
    if not form.has_types or not any(segment_starts):
        return np.zeros(mask.shape, dtype=np.int64)
    starts = np.array([start or mask.shape[1] for start in segment_starts])
    types: Int64s = (mask & (columns >= starts[:, None])).astype(np.int64)
    return types


def _positions(form: InputForm, ids: Int64s, mask: Bools, columns: Any, shift: Int64s) -> Int64s:
    if not form.positions_skip_padding:
        positions: Int64s = np.where(mask, columns + shift, 0)
        return positions
    real = ids != form.padding
    positions = np.where(real, np.cumsum(real, axis=1) + shift, 0) + form.padding
    return positions
