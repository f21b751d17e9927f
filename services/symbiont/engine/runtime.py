"""The one interface behind which a base model computes: torch, or a graph compiled for CPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from symbiont.bundle.heads import Pooling
from symbiont.engine.adapters import Adapter, PrefixShape
from symbiont.engine.row import Ids

Array = npt.NDArray[np.float32]
# What is wanted of a row's hidden states: one vector pooled over its tokens, or all of them.
View = Pooling | Literal["tokens"]
# What a base itself is computed in.
Arithmetic = Literal["fp32", "bf16"]

# By precision of the arithmetic, see `Runtime.tolerance`.
TOLERANCE: dict[Arithmetic, float] = {"fp32": 1e-3, "bf16": 0.05}

# A runtime's own form of one adapter (tensors on its device); nobody else looks inside.
PlacedAdapter = Any
# A runtime's own handle of the base's quantised form; nobody else looks inside.
Quantized = Any


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the engine must know of a base model."""

    digest: str
    hidden_size: int
    # The longest row, in tokens, special ones included.
    max_length: int
    vocab_size: int
    # What the plain base answers with, when a row names no bundle.
    pooling: Pooling
    # Dotted name -> (in, out) of every linear module that an adapter may target.
    linears: Mapping[str, tuple[int, int]]
    # Dotted name -> outputs of every linear module and layer norm with a bias.
    biases: Mapping[str, int]
    # The positions that it can tell apart: a row and its virtual tokens together may have so many.
    positions: int
    # None where the base takes no prefix.
    prefix: PrefixShape | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are computed together; the sequences run in parallel. An adapter of None is an exact no-op."""

    input_ids: Sequence[Ids]
    adapters: Sequence[PlacedAdapter | None]
    views: Sequence[View]
    # Where the second text of a pair begins, else 0.
    segment_starts: Sequence[int]
    # Of each row, or None for the base as it is; empty where no row is computed in int8.
    quantized: Sequence[Quantized | None] = ()


class Runtime(Protocol):
    """A frozen base in memory. As many calls of `encode` overlap as it has lanes: the engine sees to it."""

    @property
    def facts(self) -> HostFacts:
        """The base that is loaded."""
        ...

    @property
    def lanes(self) -> int:
        """How many batches it computes beside each other."""
        ...

    @property
    def tolerance(self) -> float:
        """How far from training's a golden value may be, as a part of the row's greatest, or of 1 where that is more.

        Training and serving may use other kernels and batch sizes; a wrong weight moves answers far more.
        """
        ...

    def place(self, adapter: Adapter) -> PlacedAdapter:
        """Brings an adapter, its shapes checked, to where `encode` can use it."""
        ...

    def quantized(self, digest: str, adapter: PlacedAdapter | None) -> Quantized | None:
        """Returns a quantised form of the base, ready for rows of this adapter; None where none is to be used here.

        Args:
            digest: of the artifact of kind `quantized`.
            adapter: that is placed; None for none.

        Raises:
            NotFound: no such artifact.
            IntegrityError: it is damaged, or was made of another base.
            ResourceExhausted: as many others as may be are in use.
        """
        ...

    def encode(self, batch: Batch) -> Sequence[Array]:
        """Returns for each row [hidden_size], or, of a row viewed by its tokens, [tokens, hidden_size].

        No row depends on another.
        """
        ...
