"""One row that a host answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from symbiont.common.errors import SymbiontError

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

NO_FEATURES: Floats = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A tokenized text, or two joined, and the bundle that is to answer it.

    Attributes:
        input_ids: [tokens], special ones included.
        bundle: digest; empty asks the plain base.
        segment_start: where the second text begins, for bases that tell the two apart; 0 where there is one text.
        features: encoded business fields, as many as the bundle has; empty where it has none.
        expires: when nobody waits for the answer any more, on this process's `time.monotonic`.
    """

    input_ids: Ids
    bundle: str = ""
    segment_start: int = 0
    features: Floats = field(default_factory=lambda: NO_FEATURES)
    expires: float = math.inf


class Times(NamedTuple):
    """Seconds that a request waited in the host, for its turn or a bundle, and that its batch was computed.

    `own` is its part of the latter, by the tokens of all requests in the batch.
    """

    queued: float = 0.0
    computed: float = 0.0
    own: float = 0.0

    @property
    def in_host(self) -> float:
        """From when the host had it until it was answered."""
        return self.queued + self.computed


@dataclass(frozen=True, slots=True, eq=False)
class HostAnswer:
    """The answers of a request, row by row: values, [outputs] or [tokens * outputs], or the row's own error."""

    rows: Sequence[Floats | SymbiontError]
    times: Times
